"""Which value of an architecture's own knob gives a requested L0: a search by training, on a logarithmic scale.

L0 falls with a penalty and rises with a threshold's target or with k, monotonically but for noise. So the logarithms
are followed: by the secant until the request is bracketed, then by false position with the Illinois rule, which does
not let one end of the bracket stay for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

TOLERANCE = 0.03  # tighter than the 5 % within which arms count as matched, since seeds differ
MOST = 16
STRIDE = math.log(4.0)  # the first step away from the start, and the longest one outside a bracket


@dataclass(frozen=True)
class Tried:
    """One training: value of the knob and the L0 it gave."""

    value: float
    l0: float


@dataclass(frozen=True)
class Calibrated:
    """The value that came nearest, and everything tried on the way."""

    value: float
    l0: float
    wanted: float
    tried: tuple[Tried, ...]

    @property
    def reached(self) -> bool:
        """Whether L0 is within the tolerance of what was wanted."""
        return abs(self.l0 / self.wanted - 1) <= TOLERANCE


@dataclass
class _Search:
    """Points (log value, log L0 / wanted) on both sides of the request."""

    wanted: float
    tried: list[Tried] = field(default_factory=list)
    below: tuple[float, float] | None = None
    above: tuple[float, float] | None = None
    last: str = ""

    def note(self, value: float, l0: float) -> None:
        """Keep the nearest bracket; a side that stayed twice counts half (Illinois)."""
        self.tried.append(Tried(value, l0))
        x, y = math.log(value), math.log(max(l0, 1e-3) / self.wanted)
        side = "above" if y > 0 else "below"
        other = "below" if side == "above" else "above"
        setattr(self, side, (x, y))
        kept: tuple[float, float] | None = getattr(self, other)
        if side == self.last and kept is not None:
            setattr(self, other, (kept[0], kept[1] / 2))
        self.last = side

    def next(self, rises: bool) -> float:
        """Log of the value to try next."""
        if self.below and self.above:
            (x0, y0), (x1, y1) = self.below, self.above
            return x0 - y0 * (x1 - x0) / (y1 - y0)
        x, y = self.below or self.above or (0.0, 0.0)
        slope = self._slope(rises)
        return x + max(-STRIDE, min(STRIDE, -y / slope))

    def _slope(self, rises: bool) -> float:
        """Of the last two points where it has the right sign, else one: outside a bracket any step in the direction."""
        assumed = 1.0 if rises else -1.0
        if len(self.tried) < 2:
            return assumed
        a, b = self.tried[-2:]
        run = math.log(b.value) - math.log(a.value)
        found = (math.log(max(b.l0, 1e-3)) - math.log(max(a.l0, 1e-3))) / run if run else 0.0
        return found if found * assumed > 0.1 else assumed


def calibrate(
    l0_of: Callable[[float], float],
    start: float,
    wanted: float,
    *,
    rises: bool,
    whole: bool = False,
    highest: float = math.inf,
    most: int = MOST,
) -> Calibrated:
    """Search for the value at which `l0_of(value)` (one training) is `wanted`, from `start`.

    Args:
        l0_of: trains with a value of the knob and measures L0 on held-out rows.
        start: first value.
        wanted: L0 to be reached.
        rises: whether L0 rises with the knob.
        whole: whether the knob takes whole numbers only.
        highest: value that may not be exceeded.
        most: trainings before the search gives up; the nearest is returned, and `reached` says whether it is near.
    """
    search, value = _Search(wanted), max(1.0, round(start)) if whole else start
    for _ in range(most):
        value = min(highest, value)
        if any(t.value == value for t in search.tried):
            break
        l0 = l0_of(value)
        search.note(value, l0)
        if abs(l0 / wanted - 1) <= TOLERANCE:
            break
        following = math.exp(search.next(rises))
        value = max(1.0, round(following)) if whole else following
    nearest = min(search.tried, key=lambda t: abs(math.log(max(t.l0, 1e-3) / wanted)))
    return Calibrated(nearest.value, nearest.l0, wanted, tuple(search.tried))
