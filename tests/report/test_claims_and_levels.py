"""Claims, levels, curves over steps and a calibration on a survey's page: what stands in the record, and no more."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from husai.report.calibration_view import calibrated, projections
from husai.report.cells import level, plain
from husai.report.claim_tables import claims, differences
from husai.report.figure import Curve, Dot, Stroke
from husai.report.level_tables import levels
from husai.report.step_figures import over_steps
from husai.report.survey_tables import quality
from husai.report.survey_view import SurveyView
from husai.store.audit import audit
from husai.store.page import read_page
from husai.store.record import Interval, Measurement
from husai.studies.presenting.survey import survey_answer


@pytest.fixture(scope="module")
def claimed(built_programme: Any) -> SurveyView:
    return SurveyView.of(built_programme.claimed.record, built_programme.claimed.upstream)


@pytest.fixture(scope="module")
def found(built_programme: Any) -> SurveyView:
    return SurveyView.of(built_programme.calibrated.record, built_programme.calibrated.upstream)


def page_of(built: Any) -> str:
    return (built.folder / "report.html").read_text()


def text_of(page: str, section: str, tag: str = "section") -> str:
    """Words of a section, without markup."""
    inside = re.search(rf'<{tag} id="{section}".*?</{tag}>', page, re.DOTALL)
    assert inside is not None
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", inside[0])).split())


def test_the_audit_resolves_everything(built_programme: Any) -> None:
    done = audit(built_programme.root)
    assert done.passed, done.findings[:5]
    assert done.checked["reports"] == 3


def test_the_answer_counts_claims_and_speaks_of_no_ranks(built_programme: Any) -> None:
    facts, text = built_programme.claimed.record.facts, text_of(page_of(built_programme.claimed), "answer")
    assert facts["answer"] == "of 3 claims, 1 supported, 2 not supported; no arm is ranked"
    assert facts["comparisons"][0]["words"] == "3 arms shown and not ranked: 3 claims of this setting decide"
    assert "Ranks exist only" not in text and "No arm is ranked here" in text and "matched and converged" not in text
    for claim in facts["claims"]:
        assert claim["title"] in text and claim["words"] in text


def test_each_claim_says_what_was_decided_and_what_would_have_been_without_controls(built_programme: Any) -> None:
    page, facts = page_of(built_programme.claimed), built_programme.claimed.record.facts["claims"]
    assert [(c["state"], c["without_controls"]) for c in facts] == [
        ("supported", "not supported"), ("not supported", "supported"), ("not supported", "supported"),
    ]  # fmt: skip
    for i, claim in enumerate(facts):
        text = text_of(page, f"claim-{i}", "article")
        bare = f"Without controls, the stabilities alone would have said: {claim['without_controls']}"
        assert claim["title"] in text and claim["words"] in text and bare in text
        assert "k : it alone differed, steps of training included" in text
    first = text_of(page, "claim-0", "article")
    assert "open together (Bonferroni) 2 in the family ks" in first and "p-value (Holm)" in first
    last = text_of(page, "claim-2", "article")
    assert "open together (Bonferroni) 1 in the family setting" in last and "effective rank" in last


def test_every_difference_over_every_control_stands_in_a_table(claimed: SurveyView) -> None:
    for claim in claims(claimed):
        rows = [[plain(cell) for cell in row] for row in differences(claim).rows]
        wanted = [
            m for m in claimed.record.measurements
            if m.name in ("claim.excess", "claim.difference") and m.scope["claim"] == claim.facts["claim"]
        ]  # fmt: skip
        assert len(rows) == len(wanted) == 2 * len(claim.facts["elements"])
        for m in wanted:
            over = m.scope.get("control", "nothing: the difference itself")
            row = next(r for r in rows if r[:3] == [m.scope["a"], m.scope["b"], over])
            assert row[3].startswith(f"{m.value:.3f}".replace("-", "\N{MINUS SIGN}")) or abs(m.value) < 0.001
            one_of_two = claim.facts["open_together"] == 2 or (claim.facts["kind"] == "peak" and "control" in m.scope)
            assert row[4] == ("97.5%" if one_of_two else "95%"), "of a peak, two not beyond are corrected over both"


def test_a_level_is_not_rounded_to_another() -> None:
    for at, shown in ((0.95, "95%"), (0.975, "97.5%"), (1 - 0.05 / 3, "98.33%")):
        interval = Interval(low=0.0, high=1.0, level=at, method="-")
        assert plain(level(Measurement(name="m", value=0.5, unit="-", interval=interval), "-")) == shown


def test_surveys_without_claims_show_nothing_of_them(built_survey: Any) -> None:
    page, facts = page_of(built_survey), built_survey.record.facts
    assert facts["claims"] == [] and "Claims" not in page and 'id="calibration"' not in page
    assert "A claim compares" not in page and "Ranks exist only" in page
    assert "learned nothing" not in page and "Stability over training steps" not in page
    assert "claims" not in survey_answer(built_survey.folder, built_survey.record)[0]


def test_levels_stand_beside_the_trained_dictionaries(claimed: SurveyView, built_programme: Any) -> None:
    first, second, variance = levels(claimed, 0)
    rows = [[plain(cell) for cell in row] for row in first.rows]
    assert [row[1] for row in rows[:4]] == [
        "trained", "untrained", "permuted_decoder", "random_decoder (this one has no decoder of 1 matrix)",
    ]  # fmt: skip
    m = claimed.record.get("mcc_signed.difference", setting="sweep", arm="k1", level="untrained", population="alive")
    assert f"{m.value:.3f} ({m.interval.low:.3f} to {m.interval.high:.3f})" == rows[1][4]
    assert rows[0][4:6] == ["", ""] and rows[1][3] == "0.013" and rows[1][5] == "3.125"
    assert len(second.rows) == len(first.rows) == 12 and len(variance.rows) == 3
    shown = page_of(built_programme.claimed)
    for m in claimed.record.measurements:
        if m.scope.get("level") in ("trained", "untrained", "permuted_decoder"):
            assert f"{claimed.id}#{m.key}" in shown, m.key


def test_curves_over_steps_leave_out_what_is_not_there(claimed: SurveyView, built_programme: Any) -> None:
    figure = over_steps(claimed, 0)
    assert [plain(panel.title) for panel in figure.panels] == ["A k1", "B k2", "C k4"]
    stable, init = (item for item in figure.panels[0].items if isinstance(item, Curve))
    assert [plain(dot.x) for dot in stable.dots] == ["0.000", "64.000"] and len(init.dots) == 3
    assert len({(panel.y.low, panel.y.high) for panel in figure.panels}) == 1
    assert (built_programme.claimed.folder / "plots" / "steps-sweep.png").is_file()


def test_the_wall_clock_stands_in_the_quality_table(claimed: SurveyView, built_survey: Any) -> None:
    assert [plain(row[-1]) for row in quality(claimed.comparisons[0]).rows] == ["12.5"] * 3
    view = SurveyView.of(built_survey.record, built_survey.upstream)
    assert "missing" in plain(quality(view.comparisons[0]).rows[0][-1])


def test_a_calibration_says_first_what_it_recommends(built_programme: Any, found: SurveyView) -> None:
    page, facts = page_of(built_programme.calibrated), built_programme.calibrated.record.facts["calibration"]
    assert page.index('<section id="calibration"') < page.index('<section id="answer"')
    text = text_of(page, "calibration")
    assert facts["recommended"] is None and text.startswith(f"Calibration {facts['words']}")
    for entry in facts["criteria"]:
        assert entry["words"] in text
    failed = sum(not entry["holds"] for entry in facts["criteria"])
    assert text.count("✓") == 0 and text.count("does not hold") == failed > 0  # signs are drawn by the style
    for words in facts["against_reference"]:
        assert words in text
    assert text.count("wins (k = 1 )") == 3
    for where in ("search", "twins.0", "twins.1"):
        for i in range(3):
            for part in ("k", "bound", "explained_variance"):
                assert f"{found.id}@facts.calibration.{where}.candidates.{i}.{part}" in page
    answer = survey_answer(built_programme.calibrated.folder, built_programme.calibrated.record)[1]
    assert answer.splitlines()[0] == facts["words"] and answer.splitlines()[-1].endswith("report.html")


def test_decoder_projections_against_k(found: SurveyView) -> None:
    held = calibrated(found)
    assert held is not None
    figure = projections(held)
    assert len(figure.panels) == 3
    items = figure.panels[0].items
    (curve,) = (item for item in items if isinstance(item, Curve))
    assert [plain(dot.x) for dot in curve.dots] == ["1", "2", "4"]
    strokes = [item for item in items if isinstance(item, Stroke)]
    assert [s.dashed for s in strokes] == [True, False, False, False] and not any(isinstance(i, Dot) for i in items)
    m = found.record.get("decoder_projection", setting="search", arm="k1")
    assert curve.dots[0].y.value == m.value  # type: ignore[union-attr]


def test_summaries_say_the_same(built_programme: Any) -> None:
    for built, words in (
        (built_programme.claimed, "without controls: supported"),
        (built_programme.calibrated, "twin"),
    ):
        text = (built.folder / "summary.md").read_text()
        assert words in text and "||" not in text
        for claim in built.record.facts["claims"]:
            assert claim["words"] in text


def test_ids_are_ones_and_links_lead_somewhere(built_programme: Any) -> None:
    for built in (built_programme.claimed, built_programme.calibrated):
        page = read_page(built.folder / "report.html")
        assert page.loose == []
        ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
        assert len(ids) == len(set(ids))
        links = {e.attributes["href"][1:] for e in page.elements if e.attributes.get("href", "").startswith("#")}
        assert links <= set(ids)


def test_tables_of_arms_for_a_paper(built_programme: Any) -> None:
    folder: Path = built_programme.claimed.folder / "tables"
    assert "<!-- record aaaaaaaaaaaaaaaa, husai " in (folder / "arms.md").read_text()
    text = (folder / "arms.tex").read_text()
    assert text.startswith("% record aaaaaaaaaaaaaaaa, husai ") and text.count(r"\begin{longtable}") == 1
