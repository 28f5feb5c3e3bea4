"""Upper bounds on the best matching of two dictionaries, by prices.

Give every column a price p_j >= 0. Where every row is matched, the matched similarities sum to at most
`sum_i max_j (C_ij - p_j) + sum_j p_j`, whatever the prices (duality of linear programming). Under the lowest prices at
which each row prefers its own partner, this is the value of the matching as far as candidates go. A pair that is no
candidate is no larger than the last neighbour of its row and than that of its column, so only some rows may want one.
"""

from __future__ import annotations

import numpy as np

from husai.events import check_stop
from husai.stability.candidates import Candidates
from husai.stability.largest import Lists
from husai.stability.nearest import Neighbours
from husai.stability.rows import Floats, Ints

SWEEPS = 10_000  # most of them; a bound is valid after any number
STILL = 1e-9  # a price that would rise by less stands


def lowest_prices(pairs: Candidates, partner: Ints) -> Floats:
    """Lowest prices >= 0 [n_cols] at which every matched row prefers its partner among its candidates.

    A price that rises makes the row that has the column want others more: only such rows are looked at again.
    """
    price = np.zeros(pairs.n_cols)
    matched = np.flatnonzero(partner >= 0)
    owner = np.full(pairs.n_cols, -1, dtype=np.intp)
    owner[partner[matched]] = matched
    own = np.zeros(pairs.n_rows)
    mine = partner[pairs.row] == pairs.col
    own[pairs.row[mine]] = pairs.value[mine]
    active = matched
    for _ in range(SWEEPS):
        check_stop()
        if not len(active):
            break
        at = pairs.of(active)
        row, col = pairs.row[at], pairs.col[at]
        offered = price[partner[row]] + pairs.value[at] - own[row]
        rises = offered > price[col] + STILL
        np.maximum.at(price, col[rises], offered[rises])
        active = owner[np.unique(col[rises])]
        active = np.sort(active[active >= 0])
    return price


def worth(pairs: Candidates, price: Floats) -> Floats:
    """`max_j (C_ij - p_j)` over the candidates of every row; -inf for a row without one."""
    out = np.full(pairs.n_rows, -np.inf)
    if len(pairs.row):
        first = np.flatnonzero(np.diff(pairs.row, prepend=-1))
        out[pairs.row[first]] = np.maximum.reduceat(pairs.value - price[pairs.col], first)
    return out


def worth_outside(found: Neighbours, price: Floats) -> Floats:
    """No more than this is `max_j (C_ij - p_j)` over the pairs of row i that are no candidates."""
    row_last = _last(found.of_a, len(found.of_b.value))
    col_last = _last(found.of_b, len(found.of_a.value))
    order = np.argsort(col_last)
    last, cost = col_last[order], price[order]
    at = np.searchsorted(last, row_last)  # columns before it have the lower limit of the two
    below = np.maximum.accumulate(np.concatenate([[-np.inf], last - cost]))
    above = np.minimum.accumulate(np.concatenate([cost, [np.inf]])[::-1])[::-1]
    return np.maximum(below[at], row_last - above[at])


def _last(lists: Lists, n_others: int) -> Floats:
    """No pair outside the lists is larger; -inf where every pair is in them."""
    n, m = lists.value.shape
    return lists.value[:, -1].astype(np.float64) if n_others > m else np.full(n, -np.inf)
