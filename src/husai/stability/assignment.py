"""The best one-to-one assignment among candidate pairs."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from husai.stability.candidates import Candidates
from husai.stability.rows import Floats, Ints


def assign(pairs: Candidates, outside: float) -> Ints:
    """For every row its column in the assignment of the largest sum, -1 for none: that counts `outside`.

    A pair of similarity 0 is no candidate: rows without a direction would all compete for the same few columns.
    Compiled where numba is there, else by SciPy (minutes instead of seconds for 65,536 features); the sum is the same.
    """
    pairs = pairs.only(np.flatnonzero((pairs.value != 0.0) & (pairs.value > outside)))
    partner = np.full(pairs.n_rows, -1, dtype=np.intp)
    rows, row = np.unique(pairs.row, return_inverse=True)
    if len(rows):
        start = np.searchsorted(row, np.arange(len(rows) + 1))
        partner[rows] = _solve(start, pairs.col, pairs.value, pairs.n_cols, outside)
    return partner


def _solve(start: Ints, col: Ints, value: Floats, n_cols: int, outside: float) -> Ints:
    try:
        from husai.stability.augment import assigned
    except ImportError:
        return solve_by_scipy(start, col, value, n_cols, outside)
    return assigned(start, col, value, n_cols, outside)


def solve_by_scipy(start: Ints, col: Ints, value: Floats, n_cols: int, outside: float) -> Ints:
    """The same as `augment.assigned`: a column of its own for every row stands for "none"."""
    n = len(start) - 1
    rows = np.arange(n)
    row = np.concatenate([np.repeat(rows, np.diff(start)), rows])
    gain = np.concatenate([value, np.full(n, outside)])
    cost = 1.0 + gain.max() - gain  # at least 1: pairs of cost 0 would be dropped
    graph = csr_array((cost, (row, np.concatenate([col, n_cols + rows]))), shape=(n, n_cols + n))
    found = min_weight_full_bipartite_matching(graph)[1].astype(np.intp)
    return np.where(found < n_cols, found, -1)
