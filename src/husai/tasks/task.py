"""`Task`: token rows, their labels, where the answer is read, and a split that no group of rows straddles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from husai.config import content_hash
from husai.errors import UserError
from husai.store.tensors import array_hash


@dataclass(frozen=True, eq=False)
class Task:
    """What a model learns. Arrays are read-only.

    Axes: N rows, T positions. `groups_N` numbers rows that must stay on one side of the split (for a commutative
    operation (a, b) and (b, a) are one group); `operand_columns` are the columns of the operands.
    """

    name: str
    tokens_NT: np.ndarray
    labels_N: np.ndarray
    groups_N: np.ndarray
    train_index: np.ndarray
    test_index: np.ndarray
    read_position: int
    d_vocab: int
    n_classes: int
    operand_columns: tuple[int, ...]
    token_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check shapes, ranges and the split.

        Raises:
            UserError: a side of the split is empty, a group is on both sides, or an index is out of range.
        """
        for name in _ARRAYS:
            array = np.ascontiguousarray(getattr(self, name), dtype=np.int64).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        self._check_shapes()
        self._check_split()

    def _check_shapes(self) -> None:
        n, width = self.tokens_NT.shape
        if self.labels_N.shape != (n,) or self.groups_N.shape != (n,):
            raise UserError(f"task {self.name}: {n} token rows need {n} labels and {n} groups")
        if not 0 <= self.read_position < width or not all(0 <= c < width for c in self.operand_columns):
            raise UserError(f"task {self.name}: read position and operand columns must be below {width}")
        _in_range(self.name, "tokens", self.tokens_NT, self.d_vocab)
        _in_range(self.name, "labels", self.labels_N, self.n_classes)
        if len(self.token_names) != self.d_vocab:
            raise UserError(f"task {self.name}: {self.d_vocab} tokens need as many names, not {len(self.token_names)}")

    def _check_split(self) -> None:
        for side, index in (("training", self.train_index), ("held-out", self.test_index)):
            if not index.size:
                raise UserError(f"task {self.name}: the {side} side of the split is empty: change train_fraction")
            _in_range(self.name, f"{side} rows", index, len(self.labels_N))
            if np.unique(index).size != index.size:
                raise UserError(f"task {self.name}: a row stands twice on the {side} side of the split")
        both = np.intersect1d(self.groups_N[self.train_index], self.groups_N[self.test_index]).size
        if both:
            raise UserError(f"task {self.name}: {both} groups of rows are on both sides of the split")

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.labels_N)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of every array and of what they mean; equal in every process."""
        arrays = array_hash({name: getattr(self, name) for name in _ARRAYS})
        meaning = [self.read_position, self.d_vocab, self.n_classes, self.operand_columns, self.token_names]
        return content_hash({"arrays": arrays, "meaning": meaning})


_ARRAYS = ("tokens_NT", "labels_N", "groups_N", "train_index", "test_index")


def _in_range(task: str, what: str, array: np.ndarray, limit: int) -> None:
    if array.size and (array.min() < 0 or array.max() >= limit):
        raise UserError(f"task {task}: {what} must be from 0 to {limit - 1}")
