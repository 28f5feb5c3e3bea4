"""A report whose every hash agrees is still read: each number, word, mark and embedded file is looked up again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from husai.store.audit_page import audit_page
from husai.store.page import numbers_in
from husai.store.references import Library, Unresolved, follow, shown

Change = Callable[[str], str]


@pytest.fixture(scope="module")
def library(built_study: Any) -> Library:
    folders = {record.id: folder for record, folder in built_study.upstream.values()}
    return Library({**folders, built_study.record.id: built_study.folder})


@pytest.fixture(scope="module")
def original(built_study: Any) -> str:
    return (built_study.folder / "report.html").read_text()


@pytest.fixture
def check(built_study: Any, library: Library) -> Callable[[str], list[str]]:
    """Findings of a page that stands in the study's folder under another name."""

    def run(text: str) -> list[str]:
        path = built_study.folder / "changed-by-a-test.html"
        path.write_text(text)
        try:
            return audit_page(path, library, built_study.record, whole=True).findings
        finally:
            path.unlink()

    return run


def once(pattern: str, replacement: str) -> Change:
    def change(text: str) -> str:
        changed, n = re.subn(pattern, replacement, text, count=1)
        assert n == 1, pattern
        return changed

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "text of a number": (once(r"(<data [^>]*>)([^<]*)</data>", r"\g<1>\g<2>1</data>"), "shown as"),
    "value of a number": (once(r'<data value="0\.', '<data value="1.'), "value is"),
    "how a number is shown": (once(r'data-format="\.3f"', 'data-format=".9f"'), "shown as"),
    "where a number comes from": (once(r'(<data [^>]*data-ref="[0-9a-f]{16}#)', r"\g<1>x"), "holds no"),
    "the record": (once(r'(<data [^>]*data-ref=")[0-9a-f]{16}', r"\g<1>" + "c" * 16), "is not here"),
    "no reference at all": (once(r'(<data [^>]*?) data-ref="[^"]*"', r"\g<1>"), "not a reference"),
    "the verdict": (once(r"is more stable than", "is far more stable than"), "says"),
    "the state": (once(r">supported</span>", ">undecided</span>"), "says"),
    "a flag": (once(r">passed</span>", ">failed</span>"), "says"),
    "a loose number": (once(r"Arms and controls</h2>", "Arms and controls</h2><p>improved by 31.7</p>"), "no record"),
    "a number in code": (once(r"Arms and controls</h2>", "Arms and controls</h2><code>0.99</code>"), "no record"),
    "a number in a caption": (once(r"<p>Seeds can agree", "<p>In 9 of 10 cases seeds can agree"), "no record"),
    "a spoken number": (once(r'aria-label="Excess', 'aria-label="0.9 Excess'), "no record"),
    "a mark in a figure": (once(r'cx="(\d+)\.(\d)"', r'cx="\g<1>9.\g<2>"'), "its place is"),
    "a tick": (once(r'data-tick="0.2"([^>]*)>0.2', r'data-tick="0.2"\g<1>>0.3'), "stands for"),
    "an axis": (once(r'data-axis-x="0 ', 'data-axis-x="9 '), "its place is"),
    "a curve": (once(r'points="(\d+)', r'points="9\g<1>'), "where there is no mark"),
    "a hash": (once(r'(data-digest="[0-9a-f]{16}">)[0-9a-f]{4}', r"\g<1>0000"), "another hash"),
    "an embedded number": (once(r"(\],\n\[1,1,[^]]*?)0\.\d", r"\g<1>0.0"), "differs from features.csv"),
    "the embedded table's hash": (once(r'data-sha256="....', 'data-sha256="0000'), "another hash"),
    "an embedded picture": (once(r"base64,iVBORw0KGgo", "base64,iVBORw0KGgp"), "the picture is not"),
    "data of no artefact": (once(r' data-artefact="features.csv" data-sha256="[^"]*"', ""), "name no artefact"),
    "something from elsewhere": (once(r"<main>", '<main><img src="https://example.org/x.png" alt="x">'), "leads to"),
    "a link into nothing": (once(r'href="features.csv"', 'href="other.csv"'), "leads to"),
    "missing made of a number": (
        once(
            r'<data value="[^"]*" data-ref="([^"]*)" data-part="value" data-format="[^"]*">[^<]*</data>',
            r'<span data-missing="whole" data-ref="\g<1>" data-part="value">missing: lost</span>',
        ),
        "says 'missing'",
    ),
    "no interval where there is one": (
        once(
            r'<data value="[^"]*" data-ref="([^"]*#mcc_signed[^"]*)" data-part="low" data-format="[^"]*">[^<]*</data>',
            r'<span data-missing="short" data-ref="\g<1>" data-part="no_interval">no interval</span>',
        ),
        "says 'no interval'",
    ),
    "an element that is not closed": (once(r"</data></td></tr>", "</td></tr>"), "not closed"),
}


def test_the_page_as_it_is(check: Callable[[str], list[str]], original: str) -> None:
    assert check(original) == []


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_forger_changes_is_found(name: str, check: Callable[[str], list[str]], original: str) -> None:
    change, words = CHANGES[name]
    found = check(change(original))
    assert found and any(words in finding for finding in found), found[:3]


@pytest.fixture(scope="module")
def digits(original: str) -> list[int]:
    """Places of all digits that a reader sees."""
    text = re.sub(r"<(script|style)\b.*?</\1>", lambda m: "x" * len(m.group()), original, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda m: "x" * len(m.group()), text)
    names = re.sub(r"[A-Za-z_][\w.-]*", lambda m: "x" * len(m.group()), text)
    return [m.start() for m in re.finditer(r"\d", names)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), shift=st.integers(1, 9))
def test_any_digit_that_a_reader_sees(
    check: Callable[[str], list[str]], original: str, digits: list[int], place: int, shift: int
) -> None:
    """One digit anywhere in visible text, changed to another one."""
    at = digits[place % len(digits)]
    other = str((int(original[at]) + shift) % 10)
    assert check(original[:at] + other + original[at + 1 :])


def test_changed_digit_is_found_through_the_whole_audit(built_study: Any, studies: Any, tmp_path: Path) -> None:
    from husai.store.audit import audit

    own = studies.copy(built_study, tmp_path / "results")
    page = own.folder / "report.html"
    page.write_text(CHANGES["text of a number"][0](page.read_text()))
    studies.reseal(own.folder)
    found = audit(own.root)
    assert not found.passed
    assert all("report.html: line" in finding for finding in found.findings), found.findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L0 of k4 at blocks.0.hook_resid_post, T/2", []),
        ("gaussian-2 and random-model-3 (mcc_signed)", []),
        ("0.05", ["0.05"]),
        ("D=0.901", ["D=0.901"]),
        ("in 95 % of cases", ["95"]),
        ("x² ½", ["x²", "½"]),
        ("2nd", ["2nd"]),
        ("\N{MINUS SIGN}0.4", ["\N{MINUS SIGN}0.4"]),
    ],
)
def test_what_counts_as_a_number(text: str, expected: list[str]) -> None:
    assert numbers_in(text) == expected


def test_numbers_as_shown() -> None:
    assert shown(-0.0301, ".3f") == "\N{MINUS SIGN}0.030"
    assert shown(-0.0001, ".3f") == "0.000"
    assert shown(0.0, ".3f") == "0.000"
    assert shown(1.5e-7, ".2g") == "1.5e\N{MINUS SIGN}07"
    assert shown(0.95, ".0%") == "95%"


def test_paths() -> None:
    data = {"a": {"b.c": [1, {"d": 2}]}, "a.b": 3}
    assert follow(data, "a.b.c.1.d") == 2
    assert follow(data, "a.b") == 3
    assert follow({"x": {"-inf..-5": 4}}, "x.-inf..-5") == 4
    for path in ("z", "a.b.c.7"):
        with pytest.raises(Unresolved):
            follow({"a": {"b.c": [1]}}, path)
