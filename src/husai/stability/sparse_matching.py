"""One-to-one matching of large dictionaries among nearest neighbours, and how far it can be from the best one.

The whole cosine matrix of 65,536 features would take 32 GiB and its Hungarian matching hours. Candidates are the m
nearest neighbours of every feature on *both* sides: what is nobody's neighbour on one side still has m on the other.

1. The best assignment among candidates, in which a feature may stay without a partner at less than any candidate.
2. Its prices (`prices`) bound the best matching of all, and name the rows that may want more than their candidates.
3. Those rows get their m nearest neighbours net of prices, from a second look at the cosines; at these prices the bound
   is then exact.
4. The best assignment again. What is left without a partner is matched among itself, so that the matching is as large
   as the exact one.
"""

from __future__ import annotations

import numpy as np

from husai.stability.assignment import assign
from husai.stability.candidates import Candidates, candidates, pairs
from husai.stability.hungarian import Matching, Sparse, margins, match_in_place
from husai.stability.largest import Lists
from husai.stability.nearest import Kind, Neighbours, nearest_net, neighbours
from husai.stability.prices import lowest_prices, worth, worth_outside
from husai.stability.rows import Floats, Ints, Rows
from husai.stability.similarity import whole
from husai.stability.tiles import dots

BELOW = 1e-3  # by so much a feature without a partner counts less than the worst candidate, in the first assignment
UNMATCHED = -2.0  # what it counts in the second: less than any cosine
WANTS = 1e-6  # what is outside must be worth so much more to be looked for
REST_UP_TO = 4096  # features left over that are matched by their whole matrix
STUCK = 0.9  # share of features left over that are paired in order: thousands of copies, or rows without a direction


def match_sparse(a: Rows, b: Rows, found: Neighbours, kind: Kind = "signed", tile: int | None = None) -> Matching:
    """Matching of `a` and `b` from their nearest neighbours; matched similarities are float64.

    Raises:
        UserError: as `tiles.panels`.
    """
    if len(a) > len(b):
        return match_sparse(b, a, found.turned(), kind, tile).turned()
    near = candidates(found)
    partner = assign(near, float(near.value.min()) - BELOW)
    more, bound = _second_look(a, b, found, near, partner, kind, tile)
    if more is not near:
        partner = assign(more, 0.0 if (more.value == 0.0).any() else UNMATCHED)  # a row of zeros: a partner at 0
    left = int((partner < 0).sum())
    _complete(a, b, partner, kind, found.m, tile)
    rows = np.flatnonzero(partner >= 0)
    cols = partner[rows]
    similarity = np.abs(dots(a, b, rows, cols)) if kind == "abs" else dots(a, b, rows, cols)
    margin = margins(similarity, _runner_up(found.of_a, rows, cols))
    back = margins(similarity, _runner_up(found.of_b, cols, rows))
    maxima = bound_by_maxima(found)
    gap = max(0.0, min(maxima, bound) - float(similarity.sum()) / len(b))
    return Matching(rows, cols, similarity, margin, back, len(a), len(b), Sparse(found.m, left, maxima, bound, gap))


def bound_by_maxima(found: Neighbours) -> float:
    """No matching scores more than every feature of the smaller side, or as many of the other, with its nearest."""
    few, many = sorted((len(found.of_a.value), len(found.of_b.value)))
    sums = (np.sort(lists.value[:, 0].astype(np.float64))[-few:].sum() for lists in (found.of_a, found.of_b))
    return float(min(sums)) / many


def _second_look(
    a: Rows, b: Rows, found: Neighbours, near: Candidates, partner: Ints, kind: Kind, tile: int | None
) -> tuple[Candidates, float]:
    """Candidates with those that some rows may want more, and the bound by prices; `near` itself if none does."""
    price = lowest_prices(near, partner).astype(np.float32).astype(np.float64)  # as they are taken off the cosines
    most = worth(near, price)
    wanting = np.flatnonzero((worth_outside(found, price) > most + WANTS) | (partner < 0))
    if not len(wanting):
        return near, float(np.maximum(most, worth_outside(found, price)).sum() + price.sum()) / len(b)
    net = nearest_net(a.only(wanting), b, price, found.m, kind, tile)
    which, col, value = pairs(net)
    more = near.joined(wanting[which], col, value + price[col])
    outside = worth_outside(found, price)
    outside[wanting] = net.value[:, 0]
    return more, float(np.maximum(most, outside).sum() + price.sum()) / len(b)


def _complete(a: Rows, b: Rows, partner: Ints, kind: Kind, m: int, tile: int | None) -> None:
    """Match the rows of `partner` that have no column with the columns that have no row."""
    rows = np.flatnonzero(partner < 0)
    if not len(rows):
        return
    free = np.ones(len(b), dtype=bool)
    free[partner[partner >= 0]] = False
    cols = np.flatnonzero(free)
    rest_a, rest_b = a.only(rows), b.only(cols)
    if max(len(rows), len(cols)) > REST_UP_TO and len(rows) > STUCK * len(partner):
        partner[rows] = cols[: len(rows)]
        return
    if max(len(rows), len(cols)) <= REST_UP_TO:
        C = whole(rest_a, rest_b)
        rest = match_in_place(np.abs(C, out=C) if kind == "abs" else C)
    else:
        rest = match_sparse(rest_a, rest_b, neighbours(rest_a, rest_b, m, (kind,), tile)[kind], kind, tile)
    partner[rows[rest.rows]] = cols[rest.cols]


def _runner_up(lists: Lists, of: Ints, partner: Ints) -> Floats:
    """Best similarity with another than the partner; -inf where there is none among the neighbours."""
    value = np.pad(lists.value[of, :2].astype(np.float64), ((0, 0), (0, 1)), constant_values=-np.inf)
    return np.where(lists.index[of, 0] == partner, value[:, 1], value[:, 0])
