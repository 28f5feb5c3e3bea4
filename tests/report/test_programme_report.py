"""The report of a programme: hypotheses as its record decides them, one front, files that say where they are from."""

from __future__ import annotations

import csv
import re
import shutil
import struct
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from husai.errors import UserError
from husai.report.cells import plain
from husai.report.figure import Curve, Dot
from husai.report.programme_figures import fronts
from husai.report.programme_site import write_programme_report
from husai.report.programme_tables import NUMBERS
from husai.report.programme_view import ProgrammeView
from husai.store.audit import audit
from husai.store.audit_page import audit_page
from husai.store.layout import read_record
from husai.store.page import read_page
from husai.store.references import Library
from husai.studies.presenting import present
from husai.studies.presenting.programme import programme_answer

SECTIONS = ["answer", "hypotheses", "studies", "front", "remarks", "provenance"]
FILES = [f"tables/{name}.{form}" for name in ("hypotheses", "studies", "front") for form in ("md", "csv", "tex")]


@pytest.fixture(scope="module")
def page(built_programme: Any) -> str:
    return (built_programme.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def view(built_programme: Any) -> ProgrammeView:
    return ProgrammeView.at(built_programme.record, built_programme.upstream, built_programme.folder)


def text_of(page: str, place: str, tag: str = "section") -> str:
    """Words of a part of the page, without markup."""
    inside = re.search(rf'<{tag} id="{place}".*?</{tag}>', page, re.DOTALL)
    assert inside is not None
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", inside[0])).split())


def test_sections_ids_and_links(page: str, built_programme: Any) -> None:
    assert re.findall(r'<section id="([^"]*)"', page) == SECTIONS
    found = read_page(built_programme.folder / "report.html")
    assert found.loose == []
    ids = [e.attributes["id"] for e in found.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for word in ("http://", "https://", "fetch("):
        assert word not in page


def test_hypotheses_say_state_words_rule_and_what_was_not_run(page: str, built_programme: Any) -> None:
    facts = built_programme.record.facts
    said = "H1 supported, H2 not supported, H3 supported as far as it was run, H4 not run"
    assert facts["answer"] == said in text_of(page, "answer")
    for i, found in enumerate(facts["hypotheses"]):
        text = text_of(page, f"hypothesis-{i}", "article")
        for part in ("title", "text", "state", "words", "rule_words"):
            assert found[part] in text, part
        for words in found["not_run"]:
            assert words in text
        for claim in found["claims"]:
            assert f"{claim['study']} / {claim['claim']}" in text and claim["words"] in text
    assert "Claims behind it" not in text_of(page, "hypothesis-3", "article")
    third = text_of(page, "hypothesis-2", "article")
    assert third.count(" yes ") == 2 and third.count(" no ") == 2, "of four claims two decide"


def test_studies_lead_to_their_reports_wherever_the_results_are(
    built_programme: Any, page: str, tmp_path: Path
) -> None:
    links = re.findall(r'href="(\.\./[^"]*)"', page)
    assert links == [f"../../{b.folder.parent.name}/{b.folder.name}/report.html"
                     for b in (built_programme.claimed, built_programme.calibrated)]  # fmt: skip
    moved = tmp_path / "moved"
    shutil.copytree(built_programme.root, moved)
    done = audit(moved)
    assert done.passed, done.findings[:5]
    folder = moved / built_programme.folder.relative_to(built_programme.root)
    assert all((folder / link).is_file() for link in links)


def test_a_study_elsewhere_has_no_link(built_programme: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "experiments" / "programme" / "run"
    elsewhere.mkdir(parents=True)
    write_programme_report(built_programme.record, built_programme.upstream, elsewhere)
    text = (elsewhere / "report.html").read_text()
    assert 'href="../' not in text and "Its report lies in its own run folder" in text


def test_the_audit_follows_links_between_runs(built_programme: Any, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(built_programme.root, root)
    folder = root / built_programme.folder.relative_to(built_programme.root)
    folders = {read_record(p.parent).id: p.parent for p in root.rglob("record.json")}
    path = folder / "report.html"
    text = path.read_text()
    assert audit_page(path, Library(folders), built_programme.record, whole=True).findings == []
    link = re.findall(r'href="(\.\./[^"]*)"', text)[0]

    path.write_text(text.replace(link, "../../../../outside.html", 1))
    (root.parent / "outside.html").write_text("")
    found = audit_page(path, Library(folders), built_programme.record, whole=True).findings
    assert len(found) == 1 and "which is in no run folder" in found[0]

    path.write_text(text.replace(link, link.replace("report", "gone"), 1))
    found = audit_page(path, Library(folders), built_programme.record, whole=True)
    assert len(found.findings) == 1 and "which is not here" in found.findings[0]
    alone = audit_page(path, Library({built_programme.record.id: folder}), built_programme.record, whole=False)
    assert not [text for text in alone.findings if "href" in text]


def test_figures_fill_what_converged_and_lead_through_the_front(built_programme: Any) -> None:
    record = built_programme.record
    front = [dict(arm) for arm in record.facts["front"]]
    front[2] |= {"takes_part": False, "why_not": "undertrained on gaussian", "on_front": False}
    changed = record.model_copy(update={"facts": record.facts | {"front": front}})
    view = ProgrammeView.at(changed, built_programme.upstream, built_programme.folder)
    figure = fronts(view)[0]
    curves = [item for item in figure.panels[0].items if isinstance(item, Curve)]
    dots = [item for item in figure.panels[0].items if isinstance(item, Dot)] + [d for c in curves for d in c.dots]
    assert {plain(dot.title): dot.hollow for dot in dots} == {"k1": False, "k2": False, "k4": True}
    assert [[plain(dot.title) for dot in curve.dots] for curve in curves] == [["k1"]]
    names = [plain(name) for style, name in figure.legend if style.startswith("letter:")]
    assert names == ["k1", "k2", "k4"]


def test_one_name_in_two_studies_is_told_apart(built_programme: Any) -> None:
    record = built_programme.record
    front = [arm | {"source": "the same rows"} for arm in record.facts["front"]]
    changed = record.model_copy(update={"facts": record.facts | {"front": front}})
    (figure,) = fronts(ProgrammeView.at(changed, built_programme.upstream, built_programme.folder))
    names = [plain(name) for style, name in figure.legend if style.startswith("letter:")]
    assert names[0] == "claimed sweep k1" and len(set(names)) == len(front)


def test_csv_read_back_is_the_record(built_programme: Any) -> None:
    record = built_programme.record
    with (built_programme.folder / "tables" / "front.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(record.facts["front"])
    for row in rows:
        for name, head in NUMBERS.items():
            m = record.get(name, **{k: row[k] for k in ("study", "setting", "arm")})
            assert float(row[head]) == m.value
            bounds = m.shown_interval
            assert [float(row[f"{head}.{end}"]) for end in ("low", "high")] == [bounds.low, bounds.high]
        assert row["record"] == record.id and row["commit"] == record.provenance.commit
        assert row["date"] == record.provenance.finished and row["husai"] == record.provenance.husai
    with (built_programme.folder / "tables" / "hypotheses.csv").open(newline="") as handle:
        said = {row["hypothesis"]: row for row in csv.DictReader(handle)}
    for found in record.facts["hypotheses"]:
        row = said[found["hypothesis"]]
        assert (row["state"], row["what was found"]) == (found["state"], found["words"])


def test_every_file_says_where_it_is_from(built_programme: Any) -> None:
    record, folder = built_programme.record, built_programme.folder
    wanted = (record.id, record.provenance.commit, record.provenance.finished, record.provenance.husai)
    pictures = sorted(p.relative_to(folder).as_posix() for p in (folder / "figures").iterdir())
    assert pictures == [f"figures/front-{n}.{form}" for n in range(4) for form in ("png", "svg")]
    for name in [*FILES, *pictures]:
        data = (folder / name).read_bytes()
        said = b"".join(_texts(data)) if name.endswith(".png") else data
        for word in wanted:
            assert word.encode() in said, f"{name}: {word}"
    listed = {artefact.path for artefact in record.artefacts}
    assert {*FILES, *pictures} <= listed


def _texts(data: bytes) -> list[bytes]:
    """tEXt chunks of a PNG."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found += [data[at + 8 : at + 8 + length]] if data[at + 4 : at + 8] == b"tEXt" else []
        at += 12 + length
    return found


def test_the_same_bytes_from_records_read_back(built_programme: Any, tmp_path: Path) -> None:
    beside = built_programme.folder.parent / ".partial-again"
    beside.mkdir()
    try:
        upstream = {role: (read_record(folder), folder) for role, (_, folder) in built_programme.upstream.items()}
        write_programme_report(read_record(built_programme.folder), upstream, beside)
        written = sorted(p.relative_to(beside).as_posix() for p in beside.rglob("*") if p.is_file())
        assert len(written) == 2 + len(FILES) + 8
        for name in written:
            assert (beside / name).read_bytes() == (built_programme.folder / name).read_bytes(), name
    finally:
        shutil.rmtree(beside)


def test_the_summary_and_the_terminal(built_programme: Any) -> None:
    record, text = built_programme.record, (built_programme.folder / "summary.md").read_text()
    assert text.startswith(f"# programme\n\n{record.facts['question']}\n\n**{record.facts['answer']}**\n")
    for found in record.facts["hypotheses"]:
        assert found["words"] in text
    data, shown = programme_answer(built_programme.folder, record)
    report = str((built_programme.folder / "report.html").resolve())
    assert shown.splitlines()[-1] == report == data["report"] and data["answer"] == record.facts["answer"]
    for found in record.facts["hypotheses"]:
        assert found["hypothesis"] in shown and found["state"] in shown
    assert "not run: 100 % of it" in shown


def test_the_pages_can_be_written_elsewhere(built_programme: Any, tmp_path: Path) -> None:
    to = Path(present.report(built_programme.folder, built_programme.root, tmp_path / "pages"))
    assert to == (tmp_path / "pages" / "report.html").resolve() and (to.parent / "tables" / "front.tex").is_file()


def test_a_programme_without_hypotheses_or_surveys(built_programme: Any, tmp_path: Path) -> None:
    record = built_programme.record
    facts = record.facts | {"hypotheses": [], "front": [], "answer": ""}
    bare = record.model_copy(update={"facts": facts, "measurements": ()})
    write_programme_report(bare, built_programme.upstream, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert text.count("The programme names no hypothesis") == 2 and "No survey is among the studies" in text
    assert not (tmp_path / "figures").exists()
    assert "missing: no survey is among the studies" in (tmp_path / "tables" / "front.tex").read_text()


def test_a_record_that_is_no_programme(built_programme: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has no report of a programme"):
        write_programme_report(built_programme.claimed.record, {}, tmp_path)
