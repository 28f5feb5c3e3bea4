"""What a reader finds: states, reasons, missing values, and studies without a model or without a planted dictionary."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from husai.report.cells import Flag, Missing, Number, Words, fact, interval, plain, spec, value, with_interval
from husai.report.figure import Stroke, number
from husai.report.figures import reconstruction
from husai.report.html import html
from husai.report.site import write_report
from husai.report.tables import Column, Table, noted, planted
from husai.report.view import View, natural
from husai.statistics.intervals import unit_mean
from husai.store.audit import audit
from husai.store.page import read_page
from husai.store.record import Interval, Measurement
from husai.studies.measured import measured
from husai.studies.presenting import present
from husai.studies.study import Controls

RUN = "0" * 16


def text_of(folder: Path, section: str) -> str:
    """Words of a section, without markup."""
    page = (folder / "report.html").read_text()
    inside = re.search(rf'<section id="{section}".*?</section>', page, re.DOTALL)
    assert inside is not None
    text = re.sub(r"<script.*?</script>|<[^>]*>", " ", inside[0], flags=re.DOTALL)
    return " ".join(unescape(text).split())


def build(studies: Any, tmp_path: Path, **wanted: Any) -> Any:
    built = studies.build(tmp_path / "results", studies.Wanted(**wanted))
    found = audit(built.root)
    assert found.passed, found.findings[:5]
    return built


def test_supported(built_study: Any) -> None:
    text = text_of(built_study.folder, "verdict")
    assert text.startswith("✓ supported")
    assert built_study.record.facts["verdict"]["words"] in text
    assert 'class="verdict state-supported"' in (built_study.folder / "report.html").read_text()


def test_not_beyond(studies: Any, tmp_path: Path) -> None:
    built = build(studies, tmp_path, noise={"gaussian": (0.1, 1.4), "gaussian-2": (0.1, 1.4)})
    assert built.record.facts["verdict"]["state"] == "not beyond"
    text = text_of(built.folder, "verdict")
    assert text.startswith("✕ not beyond") and "beyond gaussian" in text
    assert "target beyond gaussian" in text_of(built.folder, "arms")


def test_no_verdict_gives_its_reasons(studies: Any, tmp_path: Path) -> None:
    built = build(studies, tmp_path, study={"seeds": 3})
    verdict = built.record.facts["verdict"]
    assert verdict["state"] == "no verdict"
    text = text_of(built.folder, "verdict")
    for reason in verdict["reasons"]:
        assert reason["text"] in text
    for outcome in verdict["outcomes"]:
        assert outcome["words"] in text
    assert "too few seeds (3 < 5)" in text_of(built.folder, "arms")


def test_without_a_model(studies: Any, tmp_path: Path) -> None:
    built = build(studies, tmp_path, model=False)
    assert "missing: this study read no model" in text_of(built.folder, "model")
    assert "missing: this study spliced nothing into a model" in text_of(built.folder, "splice")
    assert "missing: no Fourier planes were measured" in text_of(built.folder, "fourier")
    assert "splicing into a model: there is none" in text_of(built.folder, "not-run")
    assert "circular" not in text_of(built.folder, "fourier")


def test_without_random_models_and_planted_data(studies: Any, tmp_path: Path) -> None:
    built = build(studies, tmp_path, study={"positive": None, "controls": Controls(random_models=0)})
    assert "random_model" not in text_of(built.folder, "arms")
    assert "missing: nothing of this kind is in the record" in text_of(built.folder, "planted")


def test_what_was_found_of_the_planted_dictionary(built_study: Any) -> None:
    made = planted(View.of(built_study.record, built_study.upstream))
    *_, last = made.columns
    assert plain(last.head) == "precision_to_truth(0.7)"
    assert [plain(row[-1]).split()[0] for row in made.rows] == ["0.680", "0.480"]


def test_every_source_measured_and_the_words_about_it(built_study: Any) -> None:
    text = text_of(built_study.folder, "arms")
    for source, words in built_study.record.facts["sources"].items():
        assert source in text and words in text
    assert "The SAE initialisation" not in text and "the SAE initialisation and the batch order varied" in text
    for remark in built_study.record.facts["remarks"] + built_study.record.facts["warnings"]:
        assert remark in text_of(built_study.folder, "warnings")
    for entry in built_study.record.facts["not_run"]:
        assert entry in text_of(built_study.folder, "not-run")


def test_all_metrics_of_every_measure_record(built_study: Any, studies: Any) -> None:
    page = (built_study.folder / "report.html").read_text()
    final = [r for role, (r, _) in built_study.upstream.items() if re.match(rf"measure .* {studies.STEPS}$", role)]
    assert len(final) == 20
    for record in final:
        for m in record.measurements:
            assert f'data-ref="{record.id}#{m.key}"' in page, m.key


def test_distance_from_the_start_stands_beside_the_curves(built_study: Any, studies: Any) -> None:
    text = text_of(built_study.folder, "steps")
    for arm in ("k2", "k4"):
        record, _ = built_study.upstream[f"measure target {arm} {studies.STEPS}"]
        assert record.facts["distance_from_start"] in text and record.facts["shared_initialisation"] in text


def test_provenance_names_every_record(built_study: Any) -> None:
    text = text_of(built_study.folder, "provenance")
    record = built_study.record
    for record_, _ in built_study.upstream.values():
        assert record_.id in text
    for part in (record.provenance.commit, record.provenance.host, record.provenance.packages["torch"]):
        assert part in text


def test_sanity_checks_in_their_own_words(built_study: Any) -> None:
    record, _ = built_study.upstream["model"]
    text = text_of(built_study.folder, "model")
    for check in record.facts["sanity"]["checks"]:
        assert f"{check['name']} {check['state']} {check['sentence']}" in text
    assert "answer_swap not needed predictions that follow: not needed, no token tells it" in text
    assert text.count("passed") == 2, "in the one check that has a value, and in its sentence"


def test_the_state_of_a_check_is_the_word_of_its_record(built_study: Any, tmp_path: Path) -> None:
    """Also of a record from before there were states: missing, not passed."""
    record, folder = built_study.upstream["model"]
    first, second = record.facts["sanity"]["checks"]
    old = {name: held for name, held in second.items() if name != "state"}
    facts = record.facts | {"sanity": {"checks": [first | {"state": "failed"}, old]}}
    upstream = built_study.upstream | {"model": (record.model_copy(update={"facts": facts}), folder)}
    write_report(built_study.record, upstream, tmp_path)
    text = text_of(tmp_path, "model")
    assert "held_out failed" in text and "answer_swap missing: not in the record" in text


def measurement(**changes: Any) -> Measurement:
    return Measurement(**{"name": "m", "value": 0.5, "unit": "cosine", **changes})


def test_values_intervals_and_what_is_missing() -> None:
    low = Interval(low=0.25, high=None, level=0.95, method="t")
    assert plain(with_interval(measurement(interval=low), RUN)) == "0.500 (0.250 or more)"
    high = Interval(low=None, high=0.75, level=0.95, method="t")
    assert plain(interval(measurement(interval=high), RUN)) == "at most 0.750"
    both = Interval(low=0.25, high=0.75, level=0.95, method="t")
    assert plain(interval(measurement(interval=both), RUN)) == "0.250 to 0.750"
    assert (
        plain(interval(measurement(no_interval="too few seeds (2 < 5)"), RUN)) == "no interval: too few seeds (2 < 5)"
    )
    assert plain(interval(measurement(), RUN)) == "no interval"
    gone = measurement(value=None, reason="not measured")
    assert plain(value(gone, RUN)) == "missing: not measured" and plain(interval(gone, RUN)) == ""
    assert plain(with_interval(gone, RUN)) == "missing: not measured"


def test_no_interval_is_shown_beyond_what_its_quantity_can_be(studies: Any, tmp_path: Path) -> None:
    """On the page, in a figure and in the terminal; the record keeps what was computed, and a difference is not cut."""
    wide = Interval(low=-1.5, high=1.25, level=0.95, method="t")
    cut = ("mcc_signed", "explained_variance", "accuracy")

    def alter(node: Any, made: list[Measurement], facts: dict[str, Any]) -> list[Measurement]:
        return [m.model_copy(update={"interval": wide}) if m.name in cut and "seed" not in m.scope else m for m in made]

    built = build(studies, tmp_path, alter=alter)
    up, _ = built.upstream[f"measure target k2 {studies.STEPS}"]
    stable, explained = up.get("mcc_signed", population="alive"), up.get("explained_variance")
    assert stable.interval == wide
    assert plain(interval(stable, up.id)) == "\N{MINUS SIGN}1.000 to 1.000"
    assert plain(interval(explained, up.id)) == "\N{MINUS SIGN}1.500 to 1.000"
    assert ">1.250<" not in (built.folder / "report.html").read_text()
    (panel,) = reconstruction(View.of(built.record, built.upstream)).panels
    ends = [number(y) for item in panel.items if isinstance(item, Stroke) for y in (item.y1, item.y2)]
    assert ends and set(ends) == {-1.0, 1.0}
    assert "[-1.5, 1]" in present.record(up) and "1.25]" not in present.record(up)
    spliced, _ = built.upstream["splice k2"]
    assert plain(interval(spliced.get("accuracy", replacement="sae"), "r")) == "0.000 to 1.000"
    free = measurement(name="excess", interval=wide)
    assert plain(interval(free, RUN)) == "\N{MINUS SIGN}1.500 to 1.250"


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        (0.0, "cosine", "0.000"), (0.5, "cosine", "0.500"), (-0.0004, "cosine", "\N{MINUS SIGN}0.0004"),
        (3.0e-7, "share", "3e\N{MINUS SIGN}07"), (12.345, "nats", "12.35"), (123.45, "latents", "123.5"),
        (256.0, "latents, 80 rows", "256"), (256.0, "squared units", "256.0"), (12345.6, "units", "12346"),
        (4, "rows", "4"), (2.0, "latents per row", "2"),
    ],
)  # fmt: skip
def test_how_numbers_are_shown(number: float, unit: str, expected: str) -> None:
    assert Number(number, f"{RUN}#m", "value", spec(number, unit)).text == expected


def test_facts() -> None:
    assert fact(True, "r") == Flag(True, "r", "yes", "no")
    assert fact(None, "r") == Missing("not in the record", "r")
    assert fact("", "r") == "none"
    assert fact("k2", "r") == Words("k2", "r")
    assert plain(fact(0, "r")) == "0" and plain(fact(0.0, "r")) == "0.000"


def test_markup_is_escaped() -> None:
    assert "<script" not in html(Words("<script>", 'a"b'))
    assert html(("a<", Missing("x>y"))) == 'a&lt;<span class="missing">missing: x&gt;y</span>'
    with pytest.raises(TypeError):
        html(3)


def test_reasons_for_no_interval_become_notes() -> None:
    few = with_interval(measured("m", unit_mean([0.1, 0.2], unit="seeds"), "cosine", {}), RUN)
    exact = with_interval(measurement(no_interval="exact"), RUN)
    table, notes = noted(Table("t", "T", [Column("a"), Column("b")], [[few, exact], [few, "-"]]))
    assert [letter for letter, _ in notes] == ["a", "b"]
    assert plain(notes[0][1]) == "no interval: too few seeds (2 < 5)"
    assert [plain(c) for c in table.rows[0]] == ["0.150 (no interval (a))", "0.500 (no interval (b))"]


def test_natural_order() -> None:
    assert sorted(["k32", "k4", "k8"], key=natural) == ["k4", "k8", "k32"]


def test_view_reads_sources_in_one_order(built_study: Any) -> None:
    view = View.of(built_study.record, built_study.upstream)
    assert view.groups == ["target", "gaussian", "gaussian-2", "planted", "planted-gaussian", "random_model"]
    assert view.sources[5:] == [f"random-model-{i}" for i in range(5)]
    assert view.measure("nowhere", "k2") is None
    assert plain(view.fact("facts.nothing.here")) == "missing: not in the record"
    assert view.listed("facts.nothing") == []


def test_every_number_of_the_page_is_a_data_element(built_study: Any) -> None:
    page = read_page(built_study.folder / "report.html")
    assert page.loose == []
    assert sum(e.tag == "data" for e in page.elements) > 1000
