"""One-to-one matching of two sets of features from their whole similarity matrix (Hungarian)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from husai.errors import UserError
from husai.stability.rows import Floats, Ints

PIECE = 4_000_000  # similarities copied at once


@dataclass(frozen=True)
class Sparse:
    """How far a matching from nearest neighbours can be from the best one; all in units of `Matching.score`.

    `m` neighbours of every feature on both sides were candidates; `left` features found no partner among them and
    were matched afterwards among what was left. No matching scores above `bound_maxima` (every feature with its nearest
    neighbour, the smaller of both directions) nor above `bound_prices` (`prices`): `gap` is what the lower of them
    leaves, up to the rounding of float32 cosines (1e-6).
    """

    m: int
    left: int
    bound_maxima: float
    bound_prices: float
    gap: float

    @property
    def gap_to_maxima(self) -> float:
        """What `bound_maxima` alone leaves."""
        return self.gap + max(0.0, self.bound_maxima - min(self.bound_maxima, self.bound_prices))


@dataclass(frozen=True)
class Matching:
    """Pairs (row, col) of the matching that maximises the summed similarity; M = min(n_rows, n_cols) of them.

    `margin` is the matched similarity minus the best other one of that row (negative where the row had to give way,
    NaN where there is no other): a small margin says that the partner is one of several. `margin_back` is the same
    for the column. `sparse` is None for the exact matching.
    """

    rows: Ints
    cols: Ints
    similarity: Floats
    margin: Floats
    margin_back: Floats
    n_rows: int
    n_cols: int
    sparse: Sparse | None = None

    @property
    def score(self) -> float:
        """Sum of the matched similarities divided by the *larger* count; NaN for two empty sides."""
        larger = max(self.n_rows, self.n_cols)
        return float(self.similarity.sum()) / larger if larger else float("nan")

    @property
    def gap(self) -> float:
        """The best matching scores at most this much more; 0 for the exact one."""
        return 0.0 if self.sparse is None else self.sparse.gap

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

    def turned(self) -> Matching:
        """The same matching seen from the other side."""
        order = np.argsort(self.cols)
        rows, cols, similarity = self.cols[order], self.rows[order], self.similarity[order]
        back, margin = self.margin[order], self.margin_back[order]
        return Matching(rows, cols, similarity, margin, back, self.n_cols, self.n_rows, self.sparse)


def match(similarity: Floats) -> Matching:
    """Hungarian matching of a similarity matrix [n_rows, n_cols], rectangular allowed.

    Raises:
        UserError: a similarity is not finite.
    """
    return match_in_place(np.array(similarity, dtype=np.float64))


def match_in_place(similarity: Floats) -> Matching:
    """`match` without a second matrix where n_rows <= n_cols; `similarity` is overwritten and restored.

    Raises:
        UserError: a similarity is not finite.
    """
    if not np.isfinite(similarity).all():
        raise UserError("a similarity is not finite: the dictionaries cannot be matched")
    np.negative(similarity, out=similarity)  # the solver copies what it is asked to maximise
    rows, cols = linear_sum_assignment(similarity)
    np.negative(similarity, out=similarity)
    matched = similarity[rows, cols]
    of_row, of_col = _runners_up(similarity, rows, cols)
    n_rows, n_cols = similarity.shape
    return Matching(rows, cols, matched, margins(matched, of_row), margins(matched, of_col), n_rows, n_cols)


def margins(matched: Floats, runner_up: Floats) -> Floats:
    """Matched minus the best other similarity; NaN where there is no other (-inf)."""
    return np.where(np.isneginf(runner_up), np.nan, matched - runner_up)


def _runners_up(similarity: Floats, rows: Ints, cols: Ints) -> tuple[Floats, Floats]:
    """Best similarity outside the matching of each matched row and each matched column; -inf where there is none."""
    partner = np.full(len(similarity), -1, dtype=np.intp)
    partner[rows] = cols
    of_row, of_col = np.full(similarity.shape[0], -np.inf), np.full(similarity.shape[1], -np.inf)
    step = max(1, PIECE // max(1, similarity.shape[1]))
    for start in range(0, len(similarity), step):
        others = similarity[start : start + step].copy()
        matched = np.flatnonzero(partner[start : start + step] >= 0)
        others[matched, partner[start + matched]] = -np.inf
        of_row[start : start + step] = others.max(axis=1, initial=-np.inf)
        of_col = np.maximum(of_col, others.max(axis=0, initial=-np.inf))
    return of_row[rows], of_col[cols]
