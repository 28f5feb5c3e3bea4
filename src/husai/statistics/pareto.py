"""Which arms are on the front of two qualities, and which are surely behind it, given the intervals of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from husai.statistics.estimate import Estimate, at_level
from husai.statistics.intervals import independent_difference

Point = tuple[Estimate, Estimate]


@dataclass(frozen=True)
class Standing:
    """`on_front`: no other arm is better in both point estimates. `surely_behind`: names of arms that are better in
    both, the joint 95 % intervals of both differences lying above zero."""

    on_front: bool
    surely_behind: tuple[str, ...]


def standings(points: Mapping[str, Point], level: float = 0.95) -> dict[str, Standing]:
    """Where each arm stands; larger is better in both. Differences are taken between arms with their own units, which
    is conservative where arms share seeds, and are Bonferroni-corrected over all ordered pairs and both qualities.
    """
    claims = max(1, 2 * len(points) * (len(points) - 1))
    found = {}
    for name, here in points.items():
        others = {other: there for other, there in points.items() if other != name}
        ahead = [other for other, there in others.items() if _ahead(there, here)]
        sure = tuple(other for other in ahead if _surely(others[other], here, 1 - (1 - level) / claims))
        found[name] = Standing(not ahead, sure)
    return found


def _ahead(a: Point, b: Point) -> bool:
    return all(x.value > y.value for x, y in zip(a, b, strict=True))


def _surely(a: Point, b: Point, level: float) -> bool:
    for x, y in zip(a, b, strict=True):
        if not (x.bounded and y.bounded):
            return False
        low = at_level(independent_difference(x, y), level).low
        if low is None or low <= 0:
            return False
    return True
