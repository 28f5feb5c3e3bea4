"""Stability by firing frequency: a sparser dictionary may look more stable only because it keeps frequent features.

Arms are compared within the *same* frequency edges; an arm's own terciles would hide the difference in composition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError
from husai.stability.matching import Bools, Matches, mask, match_all, stack
from husai.stability.rows import Floats


@dataclass(frozen=True)
class Strata:
    """`mcc_signed` within frequency strata.

    `edges` are the n-1 inner edges; stratum q holds frequencies in [edges[q-1], edges[q]). `values_QSS` [n, S, S] is
    symmetric: the mean over both directions of the mean matched cosine of the *reference* dictionary's features in the
    stratum (a feature without a partner counts 0); NaN on the diagonal and where a stratum is empty in either seed.
    `count_QS` [n, S] are the features in it.
    """

    edges: tuple[float, ...]
    values_QSS: Floats
    count_QS: NDArray[np.intp]

    def label(self, q: int) -> str:
        """The range of frequencies of stratum q."""
        low = f"{self.edges[q - 1]:.3g}" if q else "0"
        high = f"{self.edges[q]:.3g}" if q < len(self.edges) else "1"
        return f"firing frequency {low} to {high}"


def frequency_edges(frequency_SF: ArrayLike, alive_SF: ArrayLike | None = None, n: int = 3) -> tuple[float, ...]:
    """Inner edges that cut the alive features into n equal parts (terciles); give the reference arm's to every arm.

    Raises:
        UserError: fewer than two parts, a shape that does not fit, or no alive feature.
    """
    frequency = _frequency(frequency_SF)
    alive = mask(alive_SF, *frequency.shape)
    if n < 2:
        raise UserError(f"strata are at least two; given: {n}")
    if not alive.any():
        raise UserError("no feature is alive: there are no strata")
    return tuple(float(x) for x in np.quantile(frequency[alive], np.arange(1, n) / n))


def stratified(
    decoders_SFD: ArrayLike,
    frequency_SF: ArrayLike,
    edges: Sequence[float] | None = None,
    alive_SF: ArrayLike | None = None,
    d_in: int | None = None,
    matches: Matches | None = None,
) -> Strata:
    """`mcc_signed` within strata of firing frequency; matching is over all alive features, then cut.

    `frequency_SF` [S, F] is the share of held-out rows on which a feature fires. Without `edges`: terciles of seed 0.
    `matches` are those of the same alive features, where they are known already (`PairTable.matches`).

    Raises:
        UserError: shapes that do not fit, edges out of order, frequencies outside [0, 1], or matches of other features.
    """
    W = stack(decoders_SFD, d_in)
    alive = mask(alive_SF, W.shape[0], W.shape[1])
    found = match_all(W, alive) if matches is None else matches
    if not np.array_equal(found.alive_SF, alive):
        raise UserError("these matches are of other features than the alive ones: match them anew")
    return stratified_matches(found, frequency_SF, edges)


def stratified_matches(matches: Matches, frequency_SF: ArrayLike, edges: Sequence[float] | None = None) -> Strata:
    """`stratified` from the matches of alive features, of dictionaries that may differ in size.

    Raises:
        UserError: as `stratified`.
    """
    frequency, alive = _frequency(frequency_SF), matches.alive_SF
    if frequency.shape != alive.shape:
        raise UserError(f"frequencies are [S, F] = {list(alive.shape)}; given: {list(frequency.shape)}")
    cuts = frequency_edges(frequency[:1], alive[:1]) if edges is None else tuple(edges)
    if list(cuts) != sorted(cuts):
        raise UserError("the edges of strata must rise")
    return _cut(matches.cosine_SSF, np.searchsorted(cuts, frequency, side="right"), alive, cuts)


def _cut(cosine_SSF: Floats, stratum_SF: NDArray[np.intp], alive_SF: Bools, edges: tuple[float, ...]) -> Strata:
    n, S = len(edges) + 1, len(alive_SF)
    values = np.full((n, S, S), np.nan)
    inside_QSF = (stratum_SF == np.arange(n)[:, None, None]) & alive_SF
    count = inside_QSF.sum(axis=2)
    for q, inside in enumerate(inside_QSF):
        for i in range(S):
            for j in range(i + 1, S):
                if count[q, i] and count[q, j]:
                    there = np.nansum(cosine_SSF[i, j][inside[i]]) / count[q, i]
                    back = np.nansum(cosine_SSF[j, i][inside[j]]) / count[q, j]
                    values[q, i, j] = values[q, j, i] = (there + back) / 2
    return Strata(edges, values, count)


def _frequency(frequency_SF: ArrayLike) -> Floats:
    frequency = np.asarray(frequency_SF, dtype=np.float64)
    if frequency.ndim != 2:
        raise UserError(f"frequencies are [S, F]; given: {list(frequency.shape)}")
    if not ((frequency >= 0) & (frequency <= 1)).all():
        raise UserError("a firing frequency is a share of rows, between 0 and 1")
    return frequency
