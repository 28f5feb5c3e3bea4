"""The report of a survey: what a reader finds, in words and numbers that follow from the record."""

from __future__ import annotations

import csv
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from husai.errors import UserError
from husai.report.cells import plain
from husai.report.figure import Curve, Dot, Figure, Label
from husai.report.survey_figures import sparsity, stability, truth
from husai.report.survey_site import write_survey_report
from husai.report.survey_tables import standing, truth_found
from husai.report.survey_tables import truth as truth_table
from husai.report.survey_view import SurveyView, given_out
from husai.store.audit import audit
from husai.store.layout import read_record
from husai.store.page import read_page
from husai.studies.presenting import present
from husai.studies.presenting.survey import survey_answer

SECTIONS = [
    "answer", "run", "setting-0", "setting-1", "setting-2", "truth", "convergence", "saes", "model", "warnings",
    "provenance",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(built_survey: Any) -> str:
    return (built_survey.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def view(built_survey: Any) -> SurveyView:
    return SurveyView.of(built_survey.record, built_survey.upstream)


def text_of(page: str, section: str) -> str:
    """Words of a section, without markup."""
    inside = re.search(rf'<section id="{section}".*?</section>', page, re.DOTALL)
    assert inside is not None
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", inside[0])).split())


def test_the_audit_resolves_everything(built_survey: Any) -> None:
    found = audit(built_survey.root)
    assert found.passed, found.findings[:5]
    assert found.checked["reports"] == 1 and found.checked["marks in reports"] > 200
    assert found.checked["numbers in reports"] > 1000


def test_what_was_found_of_the_truth_is_shown_by_the_names_of_the_record(view: SurveyView) -> None:
    known = next(found for found in view.comparisons if truth_table(found).rows)
    said, table = truth_table(known), truth_found(known)
    heads = [plain(column.head) for column in table.columns]
    assert heads == ["arm", "recall_of_truth(0.7)", "recall_of_truth(0.9)"]
    for beside, row in zip(said.rows, table.rows, strict=True):
        shown = dict(zip(heads, map(plain, row), strict=True))
        assert shown["arm"] == plain(beside[0])
        to_truth = float(plain(beside[2]).split()[0])
        assert float(shown["recall_of_truth(0.7)"].split()[0]) == pytest.approx(to_truth - 0.07, abs=0.002)
        assert float(shown["recall_of_truth(0.9)"].split()[0]) == pytest.approx(to_truth - 0.09, abs=0.002)


def test_the_folder_of_a_survey(built_survey: Any) -> None:
    names = {artefact.path for artefact in built_survey.record.artefacts}
    plots = {f"plots/{kind}-{name}.png" for kind in ("sparsity", "beyond") for name in ("model", "planted", "hooks")}
    assert {"report.html", "summary.md", "arms.csv", "plots/truth.png", *plots} <= names


def test_the_same_bytes_from_records_read_back(built_survey: Any, tmp_path: Path) -> None:
    roles = dict(sorted(built_survey.upstream.items(), reverse=True))
    upstream = {role: (read_record(folder), folder) for role, (_, folder) in roles.items()}
    write_survey_report(read_record(built_survey.folder), upstream, tmp_path)
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert len(written) == 12
    for name in written:
        assert (tmp_path / name).read_bytes() == (built_survey.folder / name).read_bytes(), name


def test_sections_and_links(page: str) -> None:
    assert re.findall(r'<section id="([^"]*)"', page) == SECTIONS
    assert re.findall(r'<li><a href="#([^"]*)">', page)[: len(SECTIONS)] == SECTIONS
    loaded = re.findall(r"(?:src|href|url|@import|action)\s*[=(]\s*[\"']?([^\"')\s>]*)", page)
    assert {name for name in loaded if not name.startswith(("#", "data:"))} == {
        "arms.csv", "tables/arms.md", "tables/arms.tex",
    }  # fmt: skip
    for word in ("http://", "https://", "@font-face", "fetch(", "XMLHttpRequest"):
        assert word not in page


def test_every_number_is_a_data_element_and_every_id_is_one(built_survey: Any) -> None:
    found = read_page(built_survey.folder / "report.html")
    assert found.loose == []
    ids = [e.attributes["id"] for e in found.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    links = {e.attributes["href"][1:] for e in found.elements if e.attributes.get("href", "").startswith("#")}
    assert links <= set(ids)


def test_the_answer_follows_from_the_record(built_survey: Any, page: str) -> None:
    text, facts = text_of(page, "answer"), built_survey.record.facts
    assert (
        "8 of 10 arms that were to be compared are matched and converged; 2 of 3 requested L0s have a ranking" in text
    )
    assert (
        "1 of 3 arms matched and converged (1 unmatched, 1 undertrained); beyond every control: topk-4; no ranking"
        in text
    )
    assert "surely behind another arm: batchtopk-2" in text
    assert "2 arms shown and not compared: nothing is ranked here" in text
    for entry in facts["comparisons"]:
        assert entry["title"] in text and entry["words"] in text


def test_what_was_run(page: str, built_survey: Any) -> None:
    text = text_of(page, "run")
    for setting in built_survey.record.facts["settings"]:
        assert setting["title"] in text and setting["what_varied"] in text
    assert "gaussian , random_model" in text and "3 + 3" in text
    first = text.index("activation model target")
    assert first < text.index("activation model gaussian") < text.index("activation model random-model-0")
    assert text.count("activation planted target") == 1, "two settings read the same rows: named once"


def test_tables_rank_those_that_take_part_and_say_why_others_do_not(page: str) -> None:
    text = text_of(page, "setting-0")
    assert "A topk-2 64 steps, reference 1 of 3 , on the front beyond" in text
    assert "3 of 3 , not on the front surely behind topk-2 , relu-2" in text
    assert "no ranking: nothing to be compared with" in text, (
        "one arm alone has a rank in the record, and nobody to beat"
    )
    assert "unmatched: L0 on target is 5 where 4 was requested ; unmatched: L0 on gaussian" in text
    assert "undertrained on target, gaussian, random_model" in text
    assert "this table ranks nothing" in text_of(page, "setting-2")
    assert " of 2 ," not in text_of(page, "setting-2")


def test_every_measurement_of_an_arm_is_on_the_page(page: str, built_survey: Any) -> None:
    left = [
        m.key
        for m in built_survey.record.measurements
        if f"{built_survey.record.id}#{m.key}" not in page and not (m.name == "excess" and m.scope["level"] == "0.90")
    ]
    assert [key for key in left if not key.startswith(("least_excess", "mcc_signed[", "own_nearest"))] == []
    assert [key for key in left if "source=target" in key] == []


def test_consistent_is_not_said_to_be_true(page: str) -> None:
    """T32: seeds agree on wrong features, .81 between and .73 to the truth."""
    text = text_of(page, "truth")
    for words in (
        "consistent, and true within the margin",
        "consistent, but not true: the seeds agree more with each other than with the truth",
        "consistent, but short of the truth by more than the margin",
        "not consistent beyond controls, and short of the truth by more than the margin",
    ):
        assert words in text
    assert "topk-2" not in text, "no truth is known of a model"


def test_convergence_saes_model_warnings_and_provenance(page: str, built_survey: Any) -> None:
    record = built_survey.record
    for arm in record.facts["arms"]:
        for words in arm["convergence"].values():
            assert words in text_of(page, "convergence")
        assert arm["kind"] in text_of(page, "saes")
    assert page.count('data-no="not converged">not converged</span>') == 3, "one arm, on its source and two controls"
    assert "undertrained (32 against 64 steps)" in text_of(page, "convergence")
    for words in ("l1 ", "not reached", "reached"):
        assert words in text_of(page, "saes")
    assert "251 held-out rows answered correctly" in text_of(page, "model")
    for words in ("token 7 alone covers 99.0% of the rows", "1 remark."):
        assert words in text_of(page, "warnings")
    provenance = text_of(page, "provenance")
    for upstream, _ in built_survey.upstream.values():
        assert upstream.id in provenance
    assert record.provenance.commit in provenance


def test_letters_stand_for_architectures(view: SurveyView) -> None:
    letters = {arm.facts["arm"]: arm.letter for arm in view.arms}
    assert letters["topk-2"] == letters["topk-4"] == "A" and letters["relu-2"] == letters["relu-4"] == "B"
    assert len({letters[name] for name in ("true", "false", "partly", "chance")}) == 4, "one table has topk four times"
    key = [(style, plain(name)) for style, name in view.key(view.arms)]
    assert ("letter:B", "relu_l1") in key and ("letter:D", "true") in key
    assert sorted(["B", "a", "AA", "A"], key=given_out) == ["A", "B", "a", "AA"]


def marks(figure: Figure, panel: int) -> dict[str, Dot]:
    """Dots of a panel by the arm that they stand for."""
    items = figure.panels[panel].items
    dots = [item for item in items if isinstance(item, Dot)]
    dots += [dot for item in items if isinstance(item, Curve) for dot in item.dots]
    return {plain(dot.title): dot for dot in dots}


def line(figure: Figure, panel: int) -> list[str]:
    """Arms on the line of a panel."""
    return [plain(d.title) for item in figure.panels[panel].items if isinstance(item, Curve) for d in item.dots]


def test_figures_fill_what_takes_part_and_draw_the_front_through_it(view: SurveyView) -> None:
    beyond = stability(view, 0)
    assert [plain(panel.title) for panel in beyond.panels] == ["model, L0 = 2 requested", "model, L0 = 4 requested"]
    assert line(beyond, 0) == ["topk-2", "relu-2"] and line(beyond, 1) == []
    assert {name: dot.hollow for name, dot in marks(beyond, 1).items()} == {
        "topk-4": False, "relu-4": True, "batchtopk-4": True,
    }  # fmt: skip
    flat = sparsity(view, 0)
    assert set(marks(flat, 0)) == {f"{kind}-{l0}" for kind in ("topk", "relu", "batchtopk") for l0 in (2, 4)}
    assert line(flat, 0) == ["relu-2", "topk-4"], "relu-4 has more of both and takes no part"
    assert all(dot.hollow for dot in marks(stability(view, 2), 0).values()) and line(stability(view, 2), 0) == []
    known = truth(view)
    assert len(known.panels) == 2 and set(marks(known, 0)) == {"true", "false", "partly", "chance"}
    for figure in (beyond, flat, known):
        for panel in figure.panels:
            labels = [item.text for item in panel.items if isinstance(item, Label)]
            assert len(labels) == len(marks(figure, figure.panels.index(panel)))


def test_a_rank_of_one_is_no_rank(view: SurveyView) -> None:
    alone = next(arm for arm in view.arms if arm.facts["arm"] == "topk-4")
    assert alone.facts["rank"]["of"] == 1 and alone.rank is None
    assert plain(standing(alone)).startswith("no ranking")


def test_the_table_of_all_arms(built_survey: Any) -> None:
    with (built_survey.folder / "arms.csv").open(newline="") as handle:
        rows = {row["arm"]: row for row in csv.DictReader(handle)}
    assert set(rows) == {arm["arm"] for arm in built_survey.record.facts["arms"]}
    m = built_survey.record.get("excess", setting="model", arm="relu-2", control="gaussian", level="0.95")
    assert float(rows["relu-2"]["excess[control=gaussian,level=0.95]"]) == m.value
    assert float(rows["relu-2"]["excess[control=gaussian,level=0.95].low"]) == m.interval.low
    assert rows["relu-2"]["rank"] == "2" and rows["topk-4"]["rank"] == "" and rows["relu-4"]["takes_part"] == "False"
    assert rows["batchtopk-2"]["surely_behind"] == "topk-2; relu-2"
    assert rows["true"]["excess[control=random_model,level=0.95]"] == "", "no such control"


def test_the_summary_says_the_same(built_survey: Any) -> None:
    text = (built_survey.folder / "summary.md").read_text()
    facts = built_survey.record.facts
    assert text.startswith(f"# built-survey\n\n{facts['question']}\n\n**{facts['answer']}**\n")
    for entry in facts["comparisons"]:
        assert f"{entry['title']}: {entry['words']}" in text
    assert "consistent, but not true" in text and "||" not in text


def test_the_terminal_ends_with_the_report(built_survey: Any) -> None:
    data, text = survey_answer(built_survey.folder, built_survey.record)
    report = str(built_survey.folder / "report.html")
    assert text.splitlines()[-1] == report == data["report"] and Path(data["summary"]).is_file()
    assert data["answer"] == built_survey.record.facts["answer"]
    assert "model, L0 = 4 requested: 1 of 3 arms matched and converged" in text
    table = text[text.index("model, L0 = 4 requested") :]
    assert table.startswith("model, L0 = 4 requested: no ranking")


def test_a_report_written_again(built_survey: Any, tmp_path: Path) -> None:
    assert present.report(built_survey.folder, built_survey.root, None) == str(built_survey.folder / "report.html")
    path = Path(present.report(built_survey.folder, built_survey.root, tmp_path / "again"))
    assert path.read_bytes() == (built_survey.folder / "report.html").read_bytes()
    with pytest.raises(UserError, match="is not below"):
        present.report(built_survey.folder, tmp_path, tmp_path / "again")
    (tmp_path / "record.json").write_bytes((built_survey.folder / "record.json").read_bytes())
    with pytest.raises(UserError, match="written without"):
        present.report(tmp_path, built_survey.root, None)


def test_a_record_from_before_there_were_words(built_survey: Any, tmp_path: Path) -> None:
    record = built_survey.record
    new = ("comparisons", "answer")
    arms = [{k: v for k, v in arm.items() if k not in ("converged", "truth")} for arm in record.facts["arms"]]
    old = {name: held for name, held in record.facts.items() if name not in new} | {"arms": arms}
    write_survey_report(record.model_copy(update={"facts": old}), built_survey.upstream, tmp_path)
    assert text_of((tmp_path / "report.html").read_text(), "answer").count("missing: not in the record") > 1


def test_a_record_that_is_no_survey(built_survey: Any, tmp_path: Path) -> None:
    record = next(record for record, _ in built_survey.upstream.values())
    with pytest.raises(UserError, match="it has no report of a survey"):
        write_survey_report(record, {}, tmp_path)
