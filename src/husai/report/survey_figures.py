"""The figures of a survey: what reconstruction costs, what it costs in stability, and whether stable is true."""

from __future__ import annotations

import math
from collections.abc import Callable

from husai.report.cells import Cell
from husai.report.figure import Axis, Figure, Item, Stroke, spanning
from husai.report.figures import point
from husai.report.scatter import Ends, Mark, extent, scatter
from husai.report.survey_view import ArmView, Comparison, SurveyView
from husai.report.view import STATISTIC
from husai.store.record import Measurement

QUALITY, STABLE, BEYOND = "explained variance", "stability between seeds (alive latents)", "least excess over a control"
Point = tuple[Measurement | None, Measurement | None]
FILLED: list[tuple[str, Cell]] = [("dot arm-0", "takes part"), ("dot hollow muted", "takes no part (see the table)")]
LINE: tuple[str, Cell] = ("key-line", "the front of those that take part")


def together(figures: list[Figure]) -> Figure:
    """The panels of several figures as one, with one legend and what a screen reader says of all."""
    legend = list(dict.fromkeys(entry for figure in figures for entry in figure.legend))
    letters = [entry for entry in legend if entry[0].startswith("letter:")]
    legend = [entry for entry in legend if entry not in letters] + letters
    panels, alt = [panel for figure in figures for panel in figure.panels], figures[0].alt
    return Figure("-".join(figure.name for figure in figures), figures[-1].title, alt, panels, legend=legend)


def sparsity(view: SurveyView, setting: int) -> Figure:
    """All requested L0s in one panel; the line leads through arms that no other beats in both."""
    arms = [arm for arm in view.arms if arm.setting == setting]
    marks = _marks(arms, lambda arm: (arm.on_source("l0"), arm.on_source("explained_variance")))
    panels = []
    if marks:
        x, y = _l0_axis(extent(marks, "x")), spanning(QUALITY, extent(marks, "y"))
        asked = any(arm.facts["requested_l0"] is not None for arm in arms)
        title: Cell = (view.setting(setting), ", every requested L0" if asked else ", every arm")
        panels = [scatter(x, y, marks, _undominated(marks), [], title)]
    alt = "Explained variance against the number of active latents and against stability beyond controls, for each arm"
    return Figure(f"sparsity-{setting}", "Reconstruction against L0", alt, panels, legend=_legend(view, arms))


def _undominated(marks: list[Mark]) -> list[Mark]:
    """Marks that take part and that no other such mark beats with fewer latents and more explained variance."""
    solid = sorted((mark for mark in marks if mark.solid), key=lambda mark: (mark.x.value, -mark.y.value))
    found: list[Mark] = []
    for mark in solid:
        if not found or mark.y.value > found[-1].y.value:
            found.append(mark)
    return found if len(solid) > 1 else []


def stability(view: SurveyView, setting: int) -> Figure:
    """One panel for each requested L0, on the same axes; the line leads through the front of those that are ranked."""
    tables = view.comparisons_of(setting)
    found = [(table, _marks(table.arms, _stability_point)) for table in tables]
    every = [mark for _, marks in found for mark in marks]
    x, y = spanning(QUALITY, extent(every, "x")), spanning(BEYOND, [0.0, *extent(every, "y")])
    margin = view.margin
    lines: list[Item] = [
        Stroke(x.low, 0.0, x.high, 0.0, "muted", 1),
        Stroke(x.low, margin, x.high, margin, "ink", 1, dashed=True),
    ]
    panels = [scatter(x, y, marks, _front(table, marks), lines, table.title) for table, marks in found if marks]
    arms = [arm for table in tables for arm in table.arms]
    alt = "Explained variance against the least excess of stability over a control, with intervals, for each arm"
    legend = [*_legend(view, arms), ("key-line dashed", "the margin")]
    return Figure(f"beyond-{setting}", "Reconstruction against stability beyond controls", alt, panels, legend=legend)


def _stability_point(arm: ArmView) -> Point:
    return arm.on_source("explained_variance"), arm.get("least_excess")


def _front(table: Comparison, marks: list[Mark]) -> list[Mark]:
    names = {arm.name for arm in table.ranked if arm.facts["rank"]["on_front"]}
    return sorted((mark for mark in marks if mark.name in names), key=lambda mark: mark.x.value)


def truth(view: SurveyView) -> Figure:
    """Agreement with the truth against agreement between seeds; on the diagonal both are the same."""
    found = [(table, _marks(table.arms, _truth_point)) for table in view.comparisons]
    known = [(table, marks) for table, marks in found if marks]
    every = [mark for _, marks in known for mark in marks]
    both = [*extent(every, "x"), *extent(every, "y")]
    x, y = spanning(STABLE, both), spanning("agreement with the truth", both)
    diagonal: list[Item] = [Stroke(x.low, x.low, x.high, x.high, "muted", 1, dashed=True)]
    panels = [scatter(x, y, marks, [], diagonal, table.title) for table, marks in known]
    arms = [arm for table, _ in known for arm in table.arms]
    alt = "Agreement with the planted truth against agreement between seeds, for each arm"
    legend = [*_legend(view, arms, line=False), ("key-line dashed", "as true as it is consistent")]
    return Figure("truth", "Consistent, and true?", alt, panels, legend=legend if known else [])


def _truth_point(arm: ArmView) -> Point:
    return arm.on_source(STATISTIC, population="alive"), arm.on_source("mcc_to_truth")


def _marks(arms: list[ArmView], place: Callable[[ArmView], Point]) -> list[Mark]:
    """A mark for each arm that has both numbers."""
    made = []
    for arm in arms:
        ms = place(arm)
        x, y = (point(m, arm.view.id) for m in ms)
        if x is not None and y is not None:
            ends = [_ends(m, arm.view.id) for m in ms]
            made.append(Mark(x, y, ends[0], ends[1], arm.letter, arm.name, arm.takes_part))
    return made


def _ends(m: Measurement | None, run: str) -> Ends | None:
    low, high = point(m, run, "low"), point(m, run, "high")
    return None if low is None or high is None else (low, high)


def _legend(view: SurveyView, arms: list[ArmView], *, line: bool = True) -> list[tuple[str, Cell]]:
    part = any(arm.takes_part for arm in arms)
    return [*(FILLED if part else FILLED[1:]), *([LINE] if part and line else []), *view.key(arms)]


def _l0_axis(values: list[float]) -> Axis:
    """Logarithmic, with round numbers."""
    low, high = max(0.0, min(values) * 0.9 - 0.1), max(values) * 1.1
    size = range(-1, math.ceil(math.log10(high + 1)) + 1)
    for digits in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 3)):
        inside = tuple(v for p in size for d in digits if low <= (v := float(f"{d}e{p}")) <= high)
        if len(inside) < 9:
            break
    return Axis("L0, latents per row", low, high, inside, scale="log")
