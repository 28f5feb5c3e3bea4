"""How many units would settle an undecided question, from the spread that was measured.

The smallest number n' at which `decision.call` is expected to leave "undecided", supposing that the value stays: its
interval is made with the standard error that n' units are expected to have. Two ways to know that error:

- from an `Estimate` alone, `se' = se sqrt(n / n')`, with degrees of freedom in proportion, `df (n' - 1) / (n - 1)`,
  which is `n' - 1` for a jackknife. Where two kinds of unit enter (`5 seeds, 8 models`), both grow in proportion;
- from the pairs. With `C_ij = mu + a_i + a_j + e_ij` the variance of the mean of all pairs is
  `4 va / n + 2 ve / (n (n - 1))`, and the jackknife, which the rule reads, expects `4 va / n + 4 ve / (n (n - 2))`.
  Both components come from the analysis of variance of a half diallel (Griffing 1956, method 4):
  `MS_g = (n - 2) sum g_i^2 / (n - 1)` expects `ve + (n - 2) va`, the rest `ve` with n (n - 3) / 2 degrees of freedom.

At n' the chance to settle is only about one half, since the value of a new study falls above or below; `likely` is the
number with a chance of at least 80 %, for normal values: given the estimated error s, `s^2 / E s^2 ~ chi^2 / df`.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from husai.errors import UserError
from husai.statistics.decision import DEFAULT_MARGIN, Call, call
from husai.statistics.estimate import MIN_UNITS, Estimate, estimate, percent, show
from husai.statistics.intervals import Terms, combined, pair_contrast

MOST_UNITS = 1000
LIKELY = 0.8
SAME = 1e-12  # an error no larger is none: copies
QUANTILES = (np.arange(400) + 0.5) / 400  # of the estimated error, for the mean over it


@dataclass(frozen=True)
class Spread:
    """What n units are expected to show: error `se` as the rule will read it, true error `sd`, degrees of freedom."""

    se: float
    sd: float
    df: float


@dataclass(frozen=True)
class Components:
    """Variance `seed` of one seed's effect and `pair` of what a pair has beside; `value` is the mean of n seeds."""

    value: float
    seed: float
    pair: float
    n: int

    def spread(self, n: int) -> Spread:
        """The mean over the pairs of n seeds, and the jackknife of it."""
        read = 4 * self.seed / n + 4 * self.pair / (n * (n - 2))
        true = 4 * self.seed / n + 2 * self.pair / (n * (n - 1))
        return Spread(math.sqrt(read), math.sqrt(true), n - 1)


@dataclass(frozen=True)
class Needed:
    """How many units would settle a question that has the `value` D now, at `now` units.

    `said` is what the rule says now. `n` is the smallest number at which it is expected to say `outcome`, `chance` how
    often a study of that size says anything but "undecided", `likely` the smallest number with a chance of 80 %.
    `None`: no number up to the cap; `why` says so in words, and `how` by what assumption the spread was extrapolated.
    """

    value: float
    margin: float
    now: int
    n_unit: str
    said: Call
    n: int | None
    outcome: Call
    chance: float | None
    likely: int | None
    how: str
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict of every field."""
        return asdict(self)

    def words(self) -> str:
        """One sentence."""
        if self.said in ("beyond", "not beyond"):
            return (
                f"settled by {self._count(self.now)}: {self.said}, D = {show(self.value)}, margin {show(self.margin)}"
            )
        if self.n is None or self.chance is None:
            return self.why
        more = "" if self.likely is None else f", {self._count(self.likely)} with a chance of {percent(LIKELY)}"
        now = self._count(self.now) if "," in self.n_unit else self.now
        stays = f"if the difference stays {show(self.value)} (now {now})"
        chance = f"with a chance of {percent(round(self.chance, 2))}{more}"
        return f"{self._count(self.n)} would settle it {stays}, {chance}; {self.how}"

    def _count(self, n: int) -> str:
        return counted(n, self.n_unit, self.now)


def counted(n: int, unit: str, now: int) -> str:
    """`n` units in words; a second kind, as in `seeds, 8 models` at `now` seeds, grows in proportion."""
    return f"{n} " + re.sub(r"\d+", lambda found: str(math.ceil(int(found[0]) * n / now)), unit)


def units_needed(D: Estimate, margin: float = DEFAULT_MARGIN, claims: int = 1, most: int = MOST_UNITS) -> Needed:
    """How many units would settle what D leaves open, if its value stays and its error falls as `1 / sqrt(n)`.

    Raises:
        UserError: a margin that is not positive, or an estimate that takes part in no verdict.
    """
    how = f"supposing that the error falls as 1 / sqrt({'n' if ',' not in D.n_unit else 'n of each kind'})"

    def spread(n: int) -> Spread:
        assert D.se is not None and D.df is not None
        se = D.se * math.sqrt(D.n / n)
        return Spread(se, se, D.df * (n - 1) / (D.n - 1))

    return _needed(D, spread, how, margin, claims, most)


def pair_units_needed(
    terms: Terms, margin: float = DEFAULT_MARGIN, claims: int = 1, most: int = MOST_UNITS, unit: str = "seeds"
) -> Needed:
    """The same for a contrast of pair matrices [S, S] that share their seeds (`pair_contrast`), from both components.

    The part of the pairs falls faster than that of the seeds, so that fewer are needed than `units_needed` says.

    Raises:
        UserError: as `pair_contrast` and `units_needed`.
    """
    D = pair_contrast(terms, unit=unit)
    if D.se is None:
        return units_needed(D, margin, claims, most)
    parts = components(terms, unit)
    how = f"supposing that the part of single {unit} falls as 1 / n and that of pairs as 1 / (n (n - 2))"
    return _needed(D, parts.spread, how, margin, claims, most)


def components(terms: Terms, unit: str = "seeds") -> Components:
    """Variance components of a contrast of pair matrices; where seeds vary less than pairs explain, all is of pairs.

    Raises:
        UserError: as `pair_contrast`, or fewer than five units.
    """
    C_SS = combined(terms, unit)
    n = len(C_SS)
    if n < MIN_UNITS:
        raise UserError(
            f"the parts of {unit} and of pairs cannot be told apart with {n} {unit}: {MIN_UNITS} are needed"
        )
    value = float(C_SS.sum()) / (n * (n - 1))
    g_S = (C_SS.sum(axis=1) - (n - 1) * value) / (n - 2)
    rest_SS = C_SS - value - g_S[:, None] - g_S[None, :]
    np.fill_diagonal(rest_SS, 0.0)
    of_seeds, of_pairs = (n - 2) * float((g_S**2).sum()), float((rest_SS**2).sum()) / 2
    df = n * (n - 3) // 2
    pair = of_pairs / df
    seed = (of_seeds / (n - 1) - pair) / (n - 2)
    if seed <= 0:
        seed, pair = 0.0, (of_seeds + of_pairs) / (n - 1 + df)
    return Components(value, seed, pair, n)


def chance_to_settle(value: float, spread: Spread, margin: float, claims: int = 1) -> float:
    """How often the rule says anything but "undecided", where D is normal about `value` with error `spread.sd`."""
    wide, narrow = (float(stats.t.isf(tail / claims, spread.df)) for tail in (0.025, 0.05))
    s = spread.se * np.sqrt(stats.chi2.ppf(QUANTILES, spread.df) / spread.df)
    worse, low, high = margin - wide * s, narrow * s - margin, margin - narrow * s
    equal = np.maximum(0.0, _below(high, value, spread) - _below(np.maximum(low, worse), value, spread))
    beyond = 1 - _below(margin + wide * s, value, spread)
    return float(np.mean(beyond + _below(worse, value, spread) + equal))


def _below(x: NDArray[np.float64], value: float, spread: Spread) -> NDArray[np.float64]:
    return stats.norm.cdf(x, value, spread.sd)


def _needed(D: Estimate, spread: Callable[[int], Spread], how: str, margin: float, claims: int, most: int) -> Needed:
    if not (math.isfinite(margin) and margin > 0):
        raise UserError(f"the margin is {margin}: fix one above 0 beforehand (default {DEFAULT_MARGIN})")
    if D.sided != "two" or (D.bounded and D.se is None):
        raise UserError(f"'{D.method}' takes part in no verdict: give a two-sided interval with a standard error")
    now = call(D, margin, claims)[0]
    none = Needed(D.value, margin, D.n, D.n_unit, now, None, now, None, None, how)
    if D.se is None or D.se <= SAME:
        return replace(none, why=f"no spread is known: {D.note or 'no standard error'}")
    sizes = range(MIN_UNITS, most + 1)
    n = _first(sizes, lambda k: _said(D, spread(k), k, margin, claims) != "undecided")
    if n is None:
        near = f"the difference {show(D.value)} lies so near the margin {show(margin)}, for its spread,"
        return replace(none, why=f"{near} that even {counted(most, D.n_unit, D.n)} would not settle it, {how}")
    likely = _first(sizes, lambda k: chance_to_settle(D.value, spread(k), margin, claims) >= LIKELY)
    chance = chance_to_settle(D.value, spread(n), margin, claims)
    return replace(none, n=n, outcome=_said(D, spread(n), n, margin, claims), chance=chance, likely=likely)


def _said(D: Estimate, spread: Spread, n: int, margin: float, claims: int) -> Call:
    """What the rule says of the interval that n units are expected to have."""
    then = estimate(D.value, spread.se, spread.df, level=0.95, method=D.method, n=n, unit=D.n_unit)
    return call(then, margin, claims)[0]


def _first(sizes: range, settled: Callable[[int], bool]) -> int | None:
    """The smallest size that settles; a larger one then does too, for value and margin stay and the error falls."""
    at = bisect_left(sizes, True, key=settled)
    return sizes[at] if at < len(sizes) else None
