"""Many named points in one panel: small marks with their intervals, and letters that keep out of each other's way."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from husai.report.cells import Cell, Number, Words
from husai.report.figure import Axis, Curve, Dot, Item, Label, Panel, Stroke, Tone, number

RADIUS = 4.0
APART = 12.0  # pixels between letters
RINGS = (11.0, 17.0, 24.0, 32.0, 42.0, 54.0)
TURNS = 16
WIDTH, HEIGHT = 480.0, 400.0
Ends = tuple[Number, Number]
Place = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A point with its intervals where it has them; one that is not `solid` takes part in no comparison."""

    x: Number
    y: Number
    x_ends: Ends | None
    y_ends: Ends | None
    letter: str
    name: Words
    solid: bool

    @property
    def tone(self) -> Tone:
        """Its colour."""
        return "arm-0" if self.solid else "muted"

    @property
    def dot(self) -> Dot:
        """The mark itself."""
        return Dot(self.x, self.y, self.tone, hollow=not self.solid, size=RADIUS, title=self.name)

    @property
    def bars(self) -> list[Item]:
        """Its intervals."""
        tone: Tone = "arm-0" if self.solid else "line"
        made: list[Item] = []
        if self.x_ends:
            made.append(Stroke(self.x_ends[0], self.y, self.x_ends[1], self.y, tone, 0.8))
        if self.y_ends:
            made.append(Stroke(self.x, self.y_ends[0], self.x, self.y_ends[1], tone, 0.8))
        return made


def extent(marks: list[Mark], axis: str) -> list[float]:
    """Values that an axis has to hold."""
    values = [number(getattr(mark, axis)) for mark in marks]
    for mark in marks:
        values += [end.value for end in getattr(mark, f"{axis}_ends") or ()]
    return values


def scatter(x: Axis, y: Axis, marks: list[Mark], front: list[Mark], behind: list[Item], title: Cell) -> Panel:
    """A panel with a line through `front`, in its order; `behind` is drawn first."""
    panel = Panel(x, y, [], title=title, width=WIDTH, height=HEIGHT)
    ordered = sorted(marks, key=lambda mark: mark.solid)
    line: list[Item] = [Curve(tuple(mark.dot for mark in front), "arm-0")] if front else []
    bars = [bar for mark in ordered for bar in mark.bars]
    dots = [mark.dot for mark in ordered if mark not in front]
    return replace(panel, items=[*behind, *bars, *dots, *line, *_letters(panel, marks)])


def _letters(panel: Panel, marks: list[Mark]) -> list[Item]:
    """Each letter at the nearest free place around its mark, with a thin line where that is not beside it."""
    dots = [_pixels(panel, mark) for mark in marks]
    taken: list[Place] = []
    made: list[Item] = []
    for mark, dot in sorted(zip(marks, dots, strict=True), key=lambda pair: (not pair[0].solid, pair[1])):
        at = _free(panel, dot, dots, taken)
        taken.append(at)
        if math.dist(at, dot) > RINGS[0] + 1:
            made.append(_leader(panel, dot, at))
        x, y = _values(panel, at)
        made.append(Label(x, y, mark.letter, "ink" if mark.solid else "muted", small=True))
    return made


def _free(panel: Panel, dot: Place, dots: list[Place], taken: list[Place]) -> Place:
    """The first place that is clear of every mark and letter, else the one with the most room."""
    around = [
        (dot[0] + ring * math.cos(turn), dot[1] - ring * math.sin(turn))
        for ring in RINGS
        for turn in (math.pi / 4 + 2 * math.pi * step / TURNS for step in range(TURNS))
    ]
    inside = [at for at in around if _inside(panel, at)] or [dot]
    return next((at for at in inside if _room(at, dots, taken) >= 0), max(inside, key=lambda a: _room(a, dots, taken)))


def _room(at: Place, dots: list[Place], taken: list[Place]) -> float:
    """How far the nearest mark or letter is beyond where it would touch."""
    to_dots = [math.dist(at, dot) - RADIUS - APART / 2 for dot in dots]
    return min([*to_dots, *(math.dist(at, other) - APART for other in taken)])


def _inside(panel: Panel, at: Place) -> bool:
    left, right, bottom, top = panel.box
    return left + 5 <= at[0] <= right - 5 and top + 5 <= at[1] <= bottom - 5


def _leader(panel: Panel, dot: Place, at: Place) -> Stroke:
    size = math.dist(at, dot)
    ends = [
        (dot[0] + (at[0] - dot[0]) * part, dot[1] + (at[1] - dot[1]) * part)
        for part in (RADIUS / size, 1 - APART / 2 / size)
    ]
    (x1, y1), (x2, y2) = (_values(panel, end) for end in ends)
    return Stroke(x1, y1, x2, y2, "line", 0.6)


def _pixels(panel: Panel, mark: Mark) -> Place:
    left, right, bottom, top = panel.box
    return panel.x.place(number(mark.x), left, right), panel.y.place(number(mark.y), bottom, top)


def _values(panel: Panel, at: Place) -> Place:
    left, right, bottom, top = panel.box
    return panel.x.value(at[0], left, right), panel.y.value(at[1], bottom, top)
