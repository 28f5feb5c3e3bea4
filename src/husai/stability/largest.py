"""The m largest of each of many lists whose entries arrive in pieces: memory for a few m entries per list.

An entry is one integer, its value above its index, so that of equal values the lower index stays and the outcome does
not depend on the size of the pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
ROOM = 4  # entries held per list, in m: a list that is full is cut back to its m largest
NOTHING = np.iinfo(np.int64).min
LOW = 0xFFFFFFFF


@dataclass(frozen=True)
class Lists:
    """`value` [n, m] falls along each list, `index` [n, m]; -inf and -1 where a list has fewer than m entries."""

    value: Floats32
    index: Indices


class Largest:
    """The m largest entries of each of n lists."""

    def __init__(self, n: int, m: int) -> None:
        """n empty lists."""
        self.m = m
        self.keys = np.full((n, ROOM * m), NOTHING, dtype=np.int64)
        self.used = np.zeros(n, dtype=np.int64)
        self.limit = np.full(n, -np.inf, dtype=np.float32)  # only an entry above it can be among the m largest

    def offer(self, first: int, index: int, values: Floats32) -> None:
        """Entries [lists, length] of lists `first` ..., their indices `index` ...; over calls a list's indices rise."""
        lists = slice(first, first + len(values))
        if values.shape[1] > self.m and np.isneginf(self.limit[lists]).all():
            worst = values.shape[1] - self.m
            self.limit[lists] = np.nextafter(np.partition(values, worst, axis=1)[:, worst], np.float32(-np.inf))
        which, where = _above(values, self.limit[lists])
        self._add(first, which, _keys(values[which, where], where + index))

    def lists(self) -> Lists:
        """What was kept, largest first."""
        self._cut(np.flatnonzero(self.used > self.m))
        keys = np.sort(self.keys[:, : self.m], axis=1)[:, ::-1]
        empty = keys == NOTHING
        value = np.where(empty, np.float32(-np.inf), _values(keys))
        return Lists(value, np.where(empty, -1, LOW - (keys & LOW)))

    def _add(self, first: int, which: Indices, keys: Indices) -> None:
        """Store `keys` in lists `first + which` (rising), cutting lists that are full back to their m largest."""
        room = self.keys.shape[1]
        while len(which):
            count = np.bincount(which)
            used = self.used[first : first + len(count)]
            slot = (used - np.cumsum(count) + count)[which] + np.arange(len(which))
            fits = slot < room
            self.keys[first + which[fits], slot[fits]] = keys[fits]
            np.minimum(used + count, room, out=used)
            which, keys = which[~fits], keys[~fits]
            if len(which):
                self._cut(first + np.unique(which))
                better = _values(keys) > self.limit[first + which]
                which, keys = which[better], keys[better]

    def _cut(self, lists: Indices) -> None:
        block = self.keys[lists]
        cut = block.shape[1] - self.m
        block.partition(cut, axis=1)
        self.keys[lists, : self.m] = block[:, cut:]
        self.keys[lists, self.m :] = NOTHING
        self.used[lists] = self.m
        self.limit[lists] = _values(block[:, cut])


def _above(values: Floats32, limit: Floats32) -> tuple[Indices, Indices]:
    """(list, place) of every value above the limit of its list, by list, then by place."""
    if values.flags.c_contiguous or not values.T.flags.c_contiguous:
        found = np.flatnonzero(values > limit[:, None])
        which = found // values.shape[1]
        return which, found - which * values.shape[1]
    found = np.flatnonzero(limit < values.T)  # scanned as it lies in memory
    where = found // len(values)
    which = found - where * len(values)
    order = np.argsort(which, kind="stable")
    return which[order], where[order]


def _keys(value: Floats32, index: Indices) -> Indices:
    bits = (value + np.float32(0)).view(np.int32)  # -0 becomes 0
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    return (ordered << 32) | (LOW - index)


def _values(keys: Indices) -> Floats32:
    ordered = (keys >> 32).astype(np.int32)
    return np.where(ordered < 0, ordered ^ np.int32(0x7FFFFFFF), ordered).view(np.float32)
