"""T49. A report closed with "all objectives achieved" whatever had come out: the text was a fixed string. husai writes
every sentence with a number from a record. Two studies with other numbers give other sentences everywhere, the verdict
turns with its record, and a page is no longer believed once a record behind it says something else.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from husai.report.site import write_report
from husai.store.audit_page import audit_page
from husai.store.page import numbers_in, read_page
from husai.store.references import Library

Numbers = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def other(studies: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same study where k = 2 is no more stable on the target than on its Gaussian twin, and every number moved."""

    def alter(node: Any, made: list[Any], facts: dict[str, Any]) -> list[Any]:
        fixed = ("key", "rows", "steps", "alive", "l0", "dead_share")
        return [m if m.name.startswith(fixed) or not m.value else m.model_copy(update=_moved(m)) for m in made]

    noise = {source: (1.0, 1.3) for source in ("target", "gaussian", "gaussian-2", "planted-gaussian")}
    wanted = studies.Wanted(noise=noise, alter=alter, study={"margin": 0.04})
    return studies.build(tmp_path_factory.mktemp("other") / "results", wanted)


def _moved(m: Any) -> dict[str, Any]:
    value = m.value * 0.9 - 0.0123
    if m.interval is None:
        return {"value": value}
    return {"value": value, "interval": m.interval.model_copy(update={"low": m.interval.low - 0.02})}


def sentences(folder: Path) -> list[str]:
    """Texts of all words of the page that hold a number."""
    elements = read_page(folder / "report.html").elements
    words = [
        " ".join(e.text.split())
        for e in elements
        if e.referenced and e.tag != "data" and "data-tick" not in e.attributes
    ]
    return [text for text in words if numbers_in(text)]


def test_outside_of_references_no_page_holds_a_number(built_study: Any, other: Any) -> None:
    for built in (built_study, other):
        assert read_page(built.folder / "report.html").loose == []


def test_the_verdict_turns_with_its_record(built_study: Any, other: Any) -> None:
    first, second = (b.record.facts["verdict"] for b in (built_study, other))
    assert first["state"] == "supported" and second["state"] != "supported"
    pages = [(b.folder / "report.html").read_text() for b in (built_study, other)]
    assert "verdict state-supported" in pages[0] and "verdict state-supported" not in pages[1]
    assert first["words"].split(",")[0] not in pages[1]
    assert (other.folder / "summary.md").read_text().startswith(f"# built: {second['state']}\n")


def test_every_measured_number_and_every_sentence_about_one_moves(built_study: Any, other: Any, studies: Any) -> None:
    """Where the records differ the pages differ, and every number is the one of its own record."""
    folders = {record.id: folder for record, folder in other.upstream.values()} | {other.record.id: other.folder}
    library = Library(folders)
    ours = audit_page(other.folder / "report.html", library, other.record, whole=True)
    assert ours.findings == []
    shutil.copy(built_study.folder / "report.html", other.folder / "stranger.html")
    theirs = audit_page(other.folder / "stranger.html", library, other.record, whole=True)
    (other.folder / "stranger.html").unlink()
    moved = 0
    for record, _ in built_study.upstream.values():
        if record.kind == "measure":
            new = {m.key: m for m in library.record(record.id).measurements}
            moved += sum(m.value != new[m.key].value for m in record.measurements if m.value and m.key in new)
    assert moved > 500
    assert len(theirs.findings) > 900
    said = [f for f in theirs.findings if "says '" in f]
    assert any("more stable" in f for f in said) and any("converged (" in f for f in said)


def test_sentences_with_a_number_are_those_of_the_record(built_study: Any, other: Any) -> None:
    for built in (built_study, other):
        shown = sentences(built.folder)
        facts = built.record.facts
        for entry in facts["convergence"]:
            assert entry["words"] in shown
        assert facts["verdict"]["words"] in shown or facts["verdict"]["reasons"]
    first, second = (b.record.facts["convergence"][0]["words"] for b in (built_study, other))
    assert first != second and first not in sentences(other.folder)


def test_a_fact_changed_in_the_record_changes_its_sentence(built_study: Any, tmp_path: Path) -> None:
    facts = built_study.record.facts | {"warnings": ["token 3 alone covers 12.5% of the rows"], "not_run": []}
    write_report(built_study.record.model_copy(update={"facts": facts}), built_study.upstream, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "token 3 alone covers 12.5% of the rows" in page and "token 7 alone" not in page
    assert "The record names nothing." in page
