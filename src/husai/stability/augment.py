"""Assignment among candidates by auction and shortest augmenting paths, compiled (numba).

Columns have prices, and to a row a column is worth its similarity minus the price. In the auction a row takes its
favourite from whoever has it and raises its price to where it would take its second choice. The rows left over are
placed by shortest paths over rows that change their column (Jonker and Volgenant, Computing 38, 1987), with a heap and
without touching what is out of reach.
"""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit

ROUNDS = 2  # of the auction
PER_ROW = 10  # bids per row after which the rest is left to the paths


@njit(nogil=True, cache=True)
def assigned(start, col, value, n_cols, outside):
    """Column of every row, or -1, in the assignment of the largest sum; a row without a column counts `outside`.

    The candidates of row i are `start[i]` to `start[i + 1]`; each is worth more than `outside`, which is finite.
    """
    n = len(start) - 1
    column, owner = np.full(n, -1, np.int64), np.full(n_cols, -1, np.int64)
    price, own = np.zeros(n_cols), np.zeros(n)
    waiting = np.arange(n)
    for _ in range(ROUNDS):
        waiting = auction(start, col, value, outside, waiting, column, owner, price, own)
    cost, before = np.full(n_cols, np.inf), np.full(n_cols, -1, np.int64)
    settled = np.zeros(n_cols, np.bool_)
    for row in waiting:
        end = search(start, col, value, outside, row, owner, price, own, column, cost, before, settled)
        place(start, col, value, row, end, column, owner, own, before)
    return column


@njit(nogil=True, cache=True)
def auction(start, col, value, outside, waiting, column, owner, price, own):
    """One round of bids; returns the rows that could not win one."""
    queue = waiting.copy()
    later = np.empty(len(waiting), np.int64)
    n_later, at, bids = 0, 0, 0
    while at < len(queue):
        row = queue[at]
        at += 1
        edge, best, second = two_best(start, col, value, price, row, outside)
        if edge < 0:  # nothing is worth more than staying out; prices only rise
            continue
        j = col[edge]
        loser = owner[j]
        if loser >= 0:
            bids += 1
            if best <= second or bids > PER_ROW * len(waiting):
                later[n_later] = row
                n_later += 1
                continue
            column[loser] = -1
            at -= 1
            queue[at] = loser  # bids next
        column[row], owner[j], own[row] = j, row, value[edge]
        price[j] += best - second
    return later[:n_later]


@njit(nogil=True, cache=True)
def two_best(start, col, value, price, row, outside):
    """Candidate worth most to a row (-1: staying out is), its worth, and that of its second choice."""
    edge, best, second = -1, outside, -np.inf
    for e in range(start[row], start[row + 1]):
        worth = value[e] - price[col[e]]
        if worth > best:
            edge, best, second = e, worth, best
        elif worth > second:
            second = worth
    return edge, best, second


@njit(nogil=True, cache=True)
def search(start, col, value, outside, row, owner, price, own, column, cost, before, settled):
    """The cheapest way to place a row: a column in need of a row, with the way there in `before`; prices passed rise.

    If it is cheapest that some row on the way goes without, that row is put out and its column is in need of another;
    -1 if that row is `row` itself.
    """
    touched, passed, heap = [row], [row], [(0.0, row)]
    touched.pop()
    passed.pop()
    heap.pop()
    here, base, least, out = row, 0.0, np.inf, row
    while True:
        if base - outside < least:
            least, out = base - outside, here
        reach(start, col, value, here, base, price, cost, before, settled, touched, heap)
        end = nearest(heap, cost, settled, least)
        if end < 0 or owner[end] < 0:
            break
        settled[end] = True
        passed.append(end)
        here = owner[end]
        base = cost[end] + own[here] - price[end]
    if end >= 0:
        least = cost[end]
    elif out != row:
        end, column[out] = column[out], -1
    settle(passed, touched, least, price, cost, settled)
    return end


@njit(nogil=True, cache=True)
def reach(start, col, value, here, base, price, cost, before, settled, touched, heap):
    """Offer the candidates of a row that is reached at cost `base`."""
    for e in range(start[here], start[here + 1]):
        j = col[e]
        now = base - value[e] + price[j]
        if now < cost[j] and not settled[j]:
            if cost[j] == np.inf:
                touched.append(j)
            cost[j], before[j] = now, here
            heapq.heappush(heap, (now, j))


@njit(nogil=True, cache=True)
def settle(passed, touched, least, price, cost, settled):
    """Raise the prices of the columns passed by what they were cheaper than the end, and forget the costs."""
    for j in passed:
        price[j] += least - cost[j]
        settled[j] = False
    for j in touched:
        cost[j] = np.inf


@njit(nogil=True, cache=True)
def nearest(heap, cost, settled, least):
    """The next column by cost, below `least`; -1 if there is none."""
    while len(heap) > 0:
        now, j = heapq.heappop(heap)
        if now >= least:
            return -1
        if not settled[j] and now <= cost[j]:
            return j
    return -1


@njit(nogil=True, cache=True)
def place(start, col, value, row, end, column, owner, own, before):
    """Let every row on the path to `end` change its column, back to `row`."""
    j = end
    while j >= 0:
        here = before[j]
        left = column[here]
        column[here], owner[j] = j, here
        for e in range(start[here], start[here + 1]):
            if col[e] == j:
                own[here] = value[e]
        j = -1 if here == row else left
