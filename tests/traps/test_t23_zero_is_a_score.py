"""T23. A score was reported as missing although it was 0.0: the code read `x or y`. In husai a missing value is a state
with a reason, and zero is a number: in records, in pages, in summaries and in figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from husai.report.cells import plain, value, with_interval
from husai.report.figures import point
from husai.report.tables import quality
from husai.report.view import View
from husai.store.audit import audit
from husai.store.record import Interval, Measurement
from husai.studies.measured import single

ZERO = Measurement(name="score", value=0.0, unit="share")
GONE = Measurement(name="score", value=None, reason="the suite was not run", unit="share")


def alter(node: Any, made: list[Any], facts: dict[str, Any]) -> list[Any]:
    """On the target, arm k2 explains nothing at all, and the explained variance of arm k4 was never measured."""
    if node.kind != "measure" or not node.title.startswith("measure target"):
        return made
    gone = {"value": None, "reason": "the rows were lost", "interval": None}
    new = (
        gone if "k4" in node.title else {"value": 0.0, "interval": Interval(low=0.0, high=0.0, level=0.95, method="t")}
    )
    return [m.model_copy(update=new) if m.name == "explained_variance" and not m.scope else m for m in made]


@pytest.fixture(scope="module")
def built(studies: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return studies.build(tmp_path_factory.mktemp("t23") / "results", studies.Wanted(alter=alter))


def test_zero_and_missing_are_two_things() -> None:
    assert not ZERO.missing and GONE.missing
    assert plain(value(ZERO, "r")) == "0.000"
    assert plain(value(GONE, "r")) == "missing: the suite was not run"
    assert point(ZERO, "r") is not None and point(GONE, "r") is None
    zero = Interval(low=0.0, high=0.0, level=0.95, method="t")
    assert plain(with_interval(ZERO.model_copy(update={"interval": zero}), "r")) == "0.000 (0.000 to 0.000)"
    assert single("score", 0.0, "share", {}, "why").value == 0.0
    with pytest.raises(ValueError, match="needs a reason"):
        Measurement(name="score", value=None, unit="share")


def test_the_report_shows_zero_as_zero_and_says_what_is_missing(built: Any) -> None:
    rows = [[plain(cell) for cell in row] for row in quality(View.of(built.record, built.upstream)).rows]
    assert rows[0][:3] == ["target", "k2", "0.000 (0.000 to 0.000)"]
    assert rows[1][:3] == ["target", "k4", "missing: the rows were lost"]
    summary = (built.folder / "summary.md").read_text()
    assert "| target | k2 | 0.000 (0.000 to 0.000) |" in summary
    assert "| target | k4 | missing: the rows were lost |" in summary


def test_the_audit_takes_neither_for_the_other(built: Any, studies: Any) -> None:
    assert audit(built.root).passed
    page: Path = built.folder / "report.html"
    whole = page.read_text()
    zero = whole[whole.index('<data value="0.0"') :]
    zero = zero[: zero.index("</data>") + len("</data>")]
    ref = zero.split('data-ref="')[1].split('"')[0]
    lost = f'<span class="missing" data-missing="whole" data-ref="{ref}" data-part="value">missing: lost</span>'
    page.write_text(whole.replace(zero, lost, 1))
    studies.reseal(built.folder)
    assert "says 'missing'" in " ".join(audit(built.root).findings)
    page.write_text(whole.replace("missing: the rows were lost", "0.000"))
    studies.reseal(built.folder)
    assert "says '0.000'" in " ".join(audit(built.root).findings)
