"""Candidate pairs of a sparse assignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.stability.largest import Lists
from husai.stability.nearest import Neighbours
from husai.stability.rows import Floats, Ints


@dataclass(frozen=True)
class Candidates:
    """Pairs (row, col), each once, by row and then by column, with their similarity."""

    row: Ints
    col: Ints
    value: Floats
    n_rows: int
    n_cols: int

    def of(self, rows: Ints) -> Ints:
        """Positions of all pairs of these rows."""
        first = np.searchsorted(self.row, rows)
        count = np.searchsorted(self.row, rows, side="right") - first
        return np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())

    def only(self, which: Ints) -> Candidates:
        """The pairs at these positions, in order."""
        return Candidates(self.row[which], self.col[which], self.value[which], self.n_rows, self.n_cols)

    def joined(self, row: Ints, col: Ints, value: Floats) -> Candidates:
        """With more pairs; of one that is there already the similarity stays."""
        pair = np.concatenate([self.row * self.n_cols + self.col, row * self.n_cols + col])
        pair, first = np.unique(pair, return_index=True)
        values = np.concatenate([self.value, value])[first]
        return Candidates(pair // self.n_cols, pair % self.n_cols, values, self.n_rows, self.n_cols)


def candidates(found: Neighbours) -> Candidates:
    """Every pair in which one is among the nearest neighbours of the other."""
    n_rows, n_cols = len(found.of_a.value), len(found.of_b.value)
    none = Candidates(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0), n_rows, n_cols)
    col, row, value = pairs(found.of_b)
    return none.joined(*pairs(found.of_a)).joined(row, col, value)


def pairs(lists: Lists) -> tuple[Ints, Ints, Floats]:
    """(list, entry, value) of every entry that is there."""
    real = lists.index >= 0
    which, place = np.nonzero(real)
    return which, lists.index[which, place], lists.value[which, place].astype(np.float64)
