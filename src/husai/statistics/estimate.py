"""`Estimate`: a number, its interval, and how both were made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from scipy import stats

from husai.errors import UserError

MIN_UNITS = 5  # below this the point estimate is given and no interval
Sided = Literal["two", "lower"]


@dataclass(frozen=True)
class Estimate:
    """A point estimate over `n` independent units (`n_unit` names them) with its `level` interval.

    `sided` is "two" for an interval with equal tails, "lower" for a one-sided lower bound (`high` is None).
    `low` and `high` are None where no interval can be had; `note` then says why ("too few seeds (4 < 5)").
    `se` is the standard error and `df` its degrees of freedom, so that `at_level` can make the bounds again.
    """

    value: float
    low: float | None
    high: float | None
    level: float
    method: str
    n: int
    n_unit: str
    se: float | None
    df: float | None
    note: str = ""
    sided: Sided = "two"

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict of every field."""
        return asdict(self)

    def words(self) -> str:
        """The number with its interval, or with the reason why it has none."""
        if self.low is None:
            return f"{show(self.value)} (no interval: {self.note})"
        if self.high is None:
            return f"{show(self.value)} (one-sided {percent(self.level)} lower bound {show(self.low)}, {self._n})"
        return f"{show(self.value)} ({percent(self.level)} interval {show(self.low)} to {show(self.high)}, {self._n})"

    @property
    def _n(self) -> str:
        return f"n = {self.n} {self.n_unit}"


def show(value: float) -> str:
    """A number as it stands in sentences: four significant digits."""
    return f"{value:.4g}"


def percent(level: float) -> str:
    """A level as it stands in sentences, e.g. `95 %`."""
    return f"{100 * level:.4g} %"


def too_few(n: int, unit: str, needed: int = MIN_UNITS) -> str:
    """The note of an estimate without an interval."""
    return f"too few {unit} ({n} < {needed})"


def estimate(
    value: float, se: float | None, df: float | None, *, level: float, method: str, n: int, unit: str, note: str = ""
) -> Estimate:
    """Two-sided t interval from a standard error; without one (`se` None) the point estimate and its `note`."""
    if not math.isfinite(value):
        raise UserError(f"the value over {n} {unit} is not finite: find the missing measurement first")
    bare = Estimate(float(value), None, None, level, method, n, unit, se, df, note)
    return at_level(bare, level)


def at_level(given: Estimate, level: float) -> Estimate:
    """The same estimate with its bounds at another level, from `se` and `df`; one-sided stays one-sided.

    An estimate without an interval (too few units) is returned without one.

    Raises:
        UserError: level outside (0, 1), or bounds that were not made from a standard error (a bootstrap replay).
    """
    if not 0 < level < 1:
        raise UserError(f"the level of an interval lies between 0 and 1, not {level}: write 0.95 for 95 %")
    if given.se is None or given.df is None:
        if given.bounded:
            raise UserError(
                f"the bounds of '{given.method}' do not come from a standard error: they have one level only"
            )
        return replace(given, level=level)
    tail = 1 - level if given.sided == "lower" else (1 - level) / 2
    half = float(stats.t.isf(tail, given.df)) * given.se
    high = None if given.sided == "lower" else given.value + half
    return replace(given, level=level, low=given.value - half, high=high)
