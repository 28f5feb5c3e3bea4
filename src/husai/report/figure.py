"""What a figure is made of: panels with two axes, and marks whose places are numbers of records.

One description, two drawings: `svg.py` for the page (in its colours, with references) and `png.py` for `plots/`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from husai.report.cells import Cell, Number, Words
from husai.store.references import shown

# What a mark stands for decides its colour: the arms, or one of the quiet tones of the page.
Tone = Literal["arm-0", "arm-1", "ink", "muted", "line", "band"]
Coordinate = Number | float
Scale = Literal["linear", "log"]


def number(at: Coordinate) -> float:
    """The plain value of a coordinate."""
    return float(at.value if isinstance(at, Number) else at)


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`; `log` is log10(1 + value). `names` label places that are no numbers."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...] = ()
    format: str = ".4g"
    scale: Scale = "linear"
    names: tuple[tuple[float, str], ...] = ()

    def place(self, value: float, first: float, last: float) -> float:
        """Where a value stands between two pixels."""
        a, b, v = (self._convert(x) for x in (self.low, self.high, value))
        return first + (v - a) / (b - a) * (last - first)

    def value(self, place: float, first: float, last: float) -> float:
        """What stands at a pixel between two: the inverse of `place`."""
        a, b = self._convert(self.low), self._convert(self.high)
        at = a + (place - first) / (last - first) * (b - a)
        return 10.0**at - 1 if self.scale == "log" else at

    def tick_text(self, tick: float) -> str:
        """A tick's label."""
        return shown(tick, self.format)

    def _convert(self, value: float) -> float:
        return math.log10(1 + value) if self.scale == "log" else value


@dataclass(frozen=True)
class Dot:
    """A round mark; `letter` stands inside, `title` is its name."""

    x: Coordinate
    y: Coordinate
    tone: Tone
    hollow: bool = False
    size: float = 4
    letter: str = ""
    title: str | Words = ""


@dataclass(frozen=True)
class Stroke:
    """A straight line."""

    x1: Coordinate
    y1: Coordinate
    x2: Coordinate
    y2: Coordinate
    tone: Tone
    width: float = 1.5
    dashed: bool = False


@dataclass(frozen=True)
class Curve:
    """A line through dots."""

    dots: tuple[Dot, ...]
    tone: Tone
    dashed: bool = False


@dataclass(frozen=True)
class Label:
    """A name in the plot, never a number; a `small` one is centred on its place, others begin there."""

    x: float
    y: float
    text: str
    tone: Tone = "ink"
    small: bool = False


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels [H, W, 4] uint8 that fill the whole panel; `artefact` is the file in the run folder."""

    pixels: np.ndarray
    artefact: str


Item = Dot | Stroke | Curve | Label | Picture


@dataclass(frozen=True)
class Panel:
    """One plot; sizes in pixels of the page."""

    x: Axis
    y: Axis
    items: list[Item]
    title: Cell = ""
    width: float = 460
    height: float = 280
    left: float = 52

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the plot's area."""
        return self.left, self.width - 14, self.height - 42, 14


@dataclass(frozen=True)
class Figure:
    """Panels side by side, with the sentence under them, a legend and what a screen reader says.

    `columns` is how many stand in a row of the file; the page sets as many as fit.
    """

    name: str
    title: str
    alt: str
    panels: list[Panel]
    caption: Cell = ""
    legend: list[tuple[str, Cell]] = field(default_factory=list)
    columns: int | None = None


def ticks(low: float, high: float, wanted: int = 5) -> tuple[float, ...]:
    """Round numbers between low and high."""
    rough = (high - low) / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))


def spanning(label: str, values: list[float], *, pad: float = 0.06, format: str = ".4g") -> Axis:
    """An axis that holds all values, with some room."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    size = max(abs(low), abs(high))
    room = (high - low) * pad if high - low > max(1e-6 * size, 1e-12) else max(size * 0.1, 0.05)
    unit = 10.0 ** (math.floor(math.log10(high - low + 2 * room)) - 2)  # round outwards, to a hundredth or so
    low, high = (float(f"{n * unit:.12g}") for n in (math.floor((low - room) / unit), math.ceil((high + room) / unit)))
    return Axis(label, low, high, ticks(low, high), format)
