"""The audit passes what is whole and finds every kind of change, also one whose hashes were made to agree again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from husai.errors import UserError
from husai.store.audit import audit
from husai.store.files import sha256, write_json
from husai.store.layout import MARKER, RECORD, mark, read_record


@pytest.fixture
def own(built_study: Any, studies: Any, tmp_path: Path) -> Any:
    """A copy to be changed."""
    return studies.copy(built_study, tmp_path / "results")


def findings(place: Path) -> str:
    found = audit(place)
    assert not found.passed
    return "\n".join(found.findings)


def test_a_whole_results_folder_passes(built_study: Any) -> None:
    found = audit(built_study.root)
    assert found.passed, found.findings
    assert found.unfinished == found.notes == []
    assert found.checked["run folders"] == len(built_study.upstream) + 1
    assert found.checked["reports"] == 1
    for what in ("numbers", "words", "marks", "ticks", "hashes", "embedded files"):
        assert found.checked[f"{what} in reports"] > 2, what
    assert "nothing to complain about" in found.words()
    assert json.loads(json.dumps(found.plain()))["passed"] is True


def test_a_study_folder_and_a_run_folder_are_audited_with_their_parents(built_study: Any) -> None:
    for place in (built_study.folder, built_study.folder.parent, built_study.root / "nodes"):
        found = audit(place)
        assert found.passed and not found.notes, found.findings
    assert audit(built_study.folder).checked["run folders"] == 1


def test_one_byte_of_any_artefact_is_enough(own: Any) -> None:
    for artefact in own.record.artefacts:
        path = own.folder / artefact.path
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        assert artefact.path in findings(own.folder)
        path.write_bytes(whole)
    assert audit(own.folder).passed


def test_record_and_marker_must_agree(own: Any) -> None:
    record = own.folder / RECORD
    record.write_text(record.read_text().replace('"kind": "study"', '"kind":  "study"'))
    assert "was changed" in findings(own.folder)
    (own.folder / MARKER).unlink()
    assert "not complete" in findings(own.folder)


def test_missing_extra_and_unreadable_files(own: Any) -> None:
    (own.folder / "notes.txt").write_text("mine")
    assert "notes.txt: a file that the record does not list" in findings(own.folder)
    (own.folder / "notes.txt").unlink()
    (own.folder / "features.csv").unlink()
    assert "features.csv: is missing" in findings(own.folder)
    (own.folder / RECORD).write_text("{")
    assert "not readable as JSON" in findings(own.folder)
    (own.folder / RECORD).unlink()
    assert "no record.json" in findings(own.folder)


def test_a_folder_without_its_record_is_found_by_its_place(own: Any) -> None:
    node = next((own.root / "nodes").glob("[a-z]*"))
    (node / RECORD).unlink()
    (node / MARKER).unlink()
    assert f"{node.relative_to(own.root)}: holds no record.json" in findings(own.root)


def test_missing_parents(own: Any) -> None:
    _, folder = own.upstream["model"]
    shutil.rmtree(folder)
    found = findings(own.root)
    assert "(model) is not here" in found
    assert "report.html: line" in found  # what the page took from it leads nowhere


def test_a_study_alone_passes_and_says_what_was_not_checked(own: Any, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(own.folder, alone)
    found = audit(alone)
    assert found.passed, found.findings
    assert any("not checked" in note for note in found.notes)
    assert any("references lead to records that are not here" in note for note in found.notes)


def test_unfinished_and_damaged_folders_are_no_failure(own: Any) -> None:
    node = next((own.root / "nodes").glob("[a-z]*"))
    shutil.copytree(node, node.parent / ".partial-0000000000000000")
    shutil.copytree(node, node.with_name(f"{node.name}.damaged-12"))
    for place in node.parent.glob(".partial-*/COMPLETE"):
        place.unlink()
    found = audit(own.root)
    assert found.passed and len(found.unfinished) == 2
    assert "unfinished" in found.words()


def test_metrics_and_config_say_what_the_record_says(own: Any, studies: Any) -> None:
    path = own.folder / "metrics.json"
    data = json.loads(path.read_text())
    key = next(iter(data["measurements"]))
    data["measurements"][key]["value"] = 0.123
    write_json(path, data)
    (own.folder / "config.yaml").write_text(
        (own.folder / "config.yaml").read_text().replace("margin: 0.05", "margin: 0.5")
    )
    _reseal_as_it_is(own.folder, studies)
    found = findings(own.folder)
    assert "metrics.json differs" in found and "config.yaml differs" in found


def test_references_of_measurements_must_resolve(own: Any, studies: Any) -> None:
    first, *rest = own.record.measurements
    wrong = first.model_copy(update={"artefacts": ("nothing.csv", f"{'a' * 16}:metrics.json")})
    studies.reseal(own.folder, measurements=(wrong, *rest))
    found = findings(own.folder)
    assert "refers to nothing.csv" in found and f"record {'a' * 16}, which is not here" in found


def test_a_node_is_named_for_its_id(own: Any) -> None:
    node = next((own.root / "nodes").glob("[a-z]*"))
    node.rename(node.with_name("model-" + "b" * 16))
    assert "named for another run" in findings(own.root)


def test_an_artefact_may_not_lead_out_of_its_folder(own: Any) -> None:
    record = read_record(own.folder)
    outside = next(a for a in record.artefacts if a.path == "features.csv")
    stray = own.folder.parent / "stray.csv"
    shutil.copy(own.folder / "features.csv", stray)
    moved = outside.model_copy(update={"path": "../stray.csv", "sha256": sha256(stray)})
    write_json(own.folder / RECORD, record.model_copy(update={"artefacts": (*record.artefacts, moved)}).plain())
    mark(own.folder)
    assert "leads out of the run folder" in findings(own.folder)


def test_a_study_has_a_report_and_its_summary_agrees(own: Any, studies: Any) -> None:
    summary = own.folder / "summary.md"
    text = summary.read_text()
    summary.write_text(re.sub(r"0\.(\d)(\d\d)", r"0.\g<1>\g<2>7", text, count=1))
    studies.reseal(own.folder)
    assert "summary.md: the number" in findings(own.folder)
    summary.write_text(text)
    (own.folder / "report.html").unlink()
    studies.reseal(own.folder)
    assert "a study without its report" in findings(own.folder)


def test_nothing_to_audit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folder"):
        audit(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        audit(tmp_path / "nowhere")
    (tmp_path / ".partial-0000000000000000").mkdir()
    assert not audit(tmp_path).passed  # something unfinished, and nothing that could pass


def _reseal_as_it_is(folder: Path, studies: Any) -> None:
    """Hashes of the files as they lie there, metrics.json included."""
    record = read_record(folder)
    listed = studies.list_artefacts(folder)
    write_json(folder / RECORD, record.model_copy(update={"artefacts": listed}).plain())
    mark(folder)
