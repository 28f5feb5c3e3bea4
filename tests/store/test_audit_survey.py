"""The audit reads the report and the summary of a survey as it reads those of a study."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from husai.store.audit import audit
from husai.store.audit_page import audit_page
from husai.store.files import write_json
from husai.store.layout import list_artefacts, mark, read_record
from husai.store.references import Library


@pytest.fixture(scope="module")
def library(built_survey: Any) -> Library:
    folders = {record.id: folder for record, folder in built_survey.upstream.values()}
    return Library({**folders, built_survey.record.id: built_survey.folder})


@pytest.fixture(scope="module")
def original(built_survey: Any) -> str:
    return (built_survey.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def digits(original: str) -> list[int]:
    """Places of all digits that a reader sees."""
    hidden = original
    for pattern in (r"<(script|style)\b.*?</\1>", r"<[^>]*>", r"[A-Za-z_][\w.-]*"):
        hidden = re.sub(pattern, lambda m: "x" * len(m.group()), hidden, flags=re.DOTALL)
    return [m.start() for m in re.finditer(r"\d", hidden)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_digit_can_be_changed(
    data: st.DataObject, built_survey: Any, library: Library, original: str, digits: list[int]
) -> None:
    at = data.draw(st.sampled_from(digits))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != original[at]]))
    path = built_survey.folder / "changed-by-a-test.html"
    path.write_text(original[:at] + other + original[at + 1 :])
    try:
        assert audit_page(path, library, built_survey.record, whole=True).findings
    finally:
        path.unlink()


def changed(built_survey: Any, root: Path, name: str, old: str, new: str) -> list[str]:
    """Findings where a forger changed a file of the survey and made all hashes agree again."""
    shutil.copytree(built_survey.root, root)
    folder = root / built_survey.folder.relative_to(built_survey.root)
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    record = read_record(folder).model_copy(update={"artefacts": list_artefacts(folder)})
    write_json(folder / "record.json", record.plain())
    mark(folder)
    return audit(folder).findings


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("report.html", ">0.499</data>", ">0.498</data>", "shown as"),
        ("report.html", ">beyond</span>", ">undecided</span>", "says"),
        ("report.html", ">on the front</span>", ">not on the front</span>", "says"),
        ("report.html", "8 of 10 arms", "9 of 10 arms", "says"),
        ("report.html", "consistent, but not true", "consistent, and so true", "says"),
        ("report.html", "<h2>What was run</h2>", "<h2>What was run</h2><p>up by 31.7</p>", "no record"),
        ("report.html", 'data-part="value">topk-2</title>', 'data-part="value">topk-9</title>', "says"),
        ("summary.md", "| 0.499 (", "| 0.777 (", "does not stand in report.html"),
    ],
)
def test_what_a_forger_changes_is_found(
    name: str, old: str, new: str, words: str, built_survey: Any, tmp_path: Path
) -> None:
    found = changed(built_survey, tmp_path / "results", name, old, new)
    assert found and any(words in finding and name in finding for finding in found), found[:3]


def test_a_survey_without_its_report_is_found(built_survey: Any, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(built_survey.root, root)
    folder = root / built_survey.folder.relative_to(built_survey.root)
    (folder / "report.html").unlink()
    assert any("report.html: a survey without its report" in finding for finding in audit(folder).findings)
