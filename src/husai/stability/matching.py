"""One-to-one matching of the features of two dictionaries (Hungarian): indices are not aligned between seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from husai.errors import UserError
from husai.events import check_stop
from husai.stability.similarity import Floats, cosine

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Matching:
    """Pairs (row, col) of the matching that maximises the summed similarity; M = min(n_rows, n_cols) of them.

    `margin` is the matched similarity minus the best other one of that row (negative where the row had to give way,
    NaN where there is no other): a small margin says that the partner is one of several.
    """

    rows: Ints
    cols: Ints
    similarity: Floats
    margin: Floats
    n_rows: int
    n_cols: int

    @property
    def score(self) -> float:
        """Sum of the matched similarities divided by the *larger* count; NaN for two empty sides."""
        larger = max(self.n_rows, self.n_cols)
        return float(self.similarity.sum()) / larger if larger else float("nan")

    @property
    def mean_margin(self) -> float:
        """Mean margin over the pairs that have one; NaN if none has."""
        known = self.margin[np.isfinite(self.margin)]
        return float(known.mean()) if len(known) else float("nan")

    def partner(self) -> Ints:
        """For every row its column, or -1."""
        partner = np.full(self.n_rows, -1, dtype=np.intp)
        partner[self.rows] = self.cols
        return partner


def match(similarity: Floats) -> Matching:
    """Hungarian matching of a similarity matrix [n_rows, n_cols], rectangular allowed.

    Raises:
        UserError: a similarity is not finite.
    """
    if not np.isfinite(similarity).all():
        raise UserError("a similarity is not finite: the dictionaries cannot be matched")
    rows, cols = linear_sum_assignment(similarity, maximize=True)
    matched = similarity[rows, cols]
    n_rows, n_cols = similarity.shape
    return Matching(rows, cols, matched, matched - _runner_up(similarity, rows, cols), n_rows, n_cols)


def match_features(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> Matching:
    """Matching by signed cosine of two dictionaries [F, D]."""
    return match(cosine(A_FD, B_FD, d_in))


@dataclass(frozen=True)
class Matches:
    """Matchings of every ordered pair of seeds. [i, j, f]: of feature f of seed i in seed j.

    `partner_SSF` is -1 and the cosine and margin NaN where a feature has no partner (not alive, or one too many)
    and for i = j.
    """

    partner_SSF: Ints
    cosine_SSF: Floats
    margin_SSF: Floats
    alive_SF: Bools


def match_all(W_dec_SFD: ArrayLike, alive_SF: ArrayLike | None = None, d_in: int | None = None) -> Matches:
    """Match every pair of seeds by signed decoder cosine, over alive features only where a mask is given.

    Raises:
        UserError: shapes that do not fit, or values that are not finite.
    """
    W = stack(W_dec_SFD, d_in)
    S, F, _ = W.shape
    alive = mask(alive_SF, S, F)
    partner = np.full((S, S, F), -1, dtype=np.intp)
    cos, margin = np.full((S, S, F), np.nan), np.full((S, S, F), np.nan)
    for i in range(S):
        for j in range(i + 1, S):
            check_stop()
            live_i, live_j = np.flatnonzero(alive[i]), np.flatnonzero(alive[j])
            C = cosine(W[i][live_i], W[j][live_j])
            found = match(C)
            f, g = live_i[found.rows], live_j[found.cols]
            partner[i, j, f], partner[j, i, g] = g, f
            cos[i, j, f] = cos[j, i, g] = found.similarity
            margin[i, j, f] = found.margin
            margin[j, i, g] = found.similarity - _runner_up(C.T, found.cols, found.rows)
    return Matches(partner, cos, margin, alive)


def stack(W_SFD: ArrayLike, d_in: int | None = None) -> NDArray[np.floating]:
    """A stack of dictionaries [S, F, D], checked.

    Raises:
        UserError: not three axes, no seed, or the last axis is not `d_in`.
    """
    W = np.asarray(W_SFD)
    if W.ndim != 3 or not len(W):
        raise UserError(f"a stack of dictionaries has shape [S, F, D]; this one has shape {W.shape}")
    if d_in is not None and W.shape[2] != d_in:
        raise UserError(f"features are rows of length d_in = {d_in}, but the stack has shape {W.shape}: pass [S, F, D]")
    return W


def mask(alive_SF: ArrayLike | None, S: int, F: int) -> Bools:
    """A boolean mask [S, F]; all True for None.

    Raises:
        UserError: not boolean, or of another shape.
    """
    if alive_SF is None:
        return np.ones((S, F), dtype=bool)
    alive = np.asarray(alive_SF)
    if alive.dtype != np.bool_ or alive.shape != (S, F):
        raise UserError(f"alive is a boolean mask [{S}, {F}]; given: {alive.dtype} of shape {alive.shape}")
    return alive


def _runner_up(similarity: Floats, rows: Ints, cols: Ints) -> Floats:
    """Best similarity of each row with a column other than its own; NaN where there is only one column."""
    if similarity.shape[1] < 2:
        return np.full(len(rows), np.nan)
    others = similarity[rows]  # a copy
    others[np.arange(len(rows)), cols] = -np.inf
    return others.max(axis=1)
