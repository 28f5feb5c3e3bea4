"""The front of a programme: explained variance against least excess, one figure for each source."""

from __future__ import annotations

from husai.report.cells import Cell, Number
from husai.report.figure import Figure, Item, Stroke, spanning
from husai.report.figures import point
from husai.report.programme_view import FrontView, ProgrammeView
from husai.report.scatter import Ends, Mark, extent, scatter

QUALITY, STABLE = "explained_variance", "least_excess"
LABELS = ("explained variance", "least excess over a trained control")
FILLED: list[tuple[str, Cell]] = [("dot arm-0", "converged"), ("dot hollow muted", "not converged: takes no part")]


def fronts(view: ProgrammeView) -> list[Figure]:
    """In the order of the sources."""
    return [_front(number, arms) for number, arms in enumerate(view.sources)]


def _front(number: int, arms: list[FrontView]) -> Figure:
    found = [(arm, mark) for arm in arms if (mark := _mark(arm)) is not None]
    marks = [mark for _, mark in found]
    line = sorted((m for arm, m in found if arm.facts["on_front"]), key=lambda mark: mark.x.value)
    panels = []
    if marks:
        x, y = spanning(LABELS[0], extent(marks, "x")), spanning(LABELS[1], [0.0, *extent(marks, "y")])
        zero: list[Item] = [Stroke(x.low, 0.0, x.high, 0.0, "muted", 1)]
        panels = [scatter(x, y, marks, line, zero, arms[0].fact("source"))]
    alt = "Explained variance against the least excess of stability over a trained control, with intervals, by arm"
    title, legend = "Reconstruction against stability beyond controls", [*FILLED, *_front_key(line), *_key(found)]
    return Figure(f"front-{number}", title, alt, panels, legend=legend if marks else [])


def _front_key(line: list[Mark]) -> list[tuple[str, Cell]]:
    return [("key-line", "the front: no converged arm has more of both")] if len(line) > 1 else []


def _key(found: list[tuple[FrontView, Mark]]) -> list[tuple[str, Cell]]:
    """Letters with the arm's name, and its study and setting where the name alone is not enough."""
    names = [arm.facts["arm"] for arm, _ in found]
    key: list[tuple[str, Cell]] = []
    for arm, mark in found:
        whole: Cell = (arm.fact("study"), " ", arm.fact("setting"), " ", arm.fact("arm"))
        key.append((f"letter:{mark.letter}", arm.fact("arm") if names.count(arm.facts["arm"]) == 1 else whole))
    return key


def _mark(arm: FrontView) -> Mark | None:
    x, y = (point(arm.get(name), arm.view.id) for name in (QUALITY, STABLE))
    if x is None or y is None:
        return None
    return Mark(x, y, _ends(arm, QUALITY), _ends(arm, STABLE), arm.letter, arm.name, arm.facts["takes_part"])


def _ends(arm: FrontView, name: str) -> Ends | None:
    low, high = (point(arm.get(name), arm.view.id, part) for part in ("low", "high"))
    return (low, high) if isinstance(low, Number) and isinstance(high, Number) else None
