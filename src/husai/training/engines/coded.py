"""Codes of a batch and what they leave: all that sparse gradients need; and by whom each latent's share is summed."""

from __future__ import annotations

import numpy as np

from husai.training.engines.kernels.latents import list_rows
from husai.training.engines.kernels.rounding import ROWS_PER_BLOCK


def row_blocks(batch: int) -> int:
    """Blocks of rows within which sums over rows run first."""
    return -(-batch // ROWS_PER_BLOCK)


class Coded:
    """Codes of a batch and what they leave: all that gradients need."""

    def __init__(self, batch: int, k: int, d_out: int, dtype: np.dtype) -> None:
        self.index_BK, self.active_B = np.zeros((batch, k), np.int32), np.zeros(batch, np.int32)
        self.value_BK, self.seen_BK = np.zeros((batch, k), dtype), np.zeros((batch, k), dtype)
        self.residual_BO, self.error_B = np.zeros((batch, d_out), dtype), np.zeros(batch, dtype)
        self.columns_NO = np.zeros((row_blocks(batch), d_out), dtype)

    def codes(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Codes of some rows, to be filled."""
        return self.index_BK[first:last], self.active_B[first:last], self.value_BK[first:last], self.seen_BK[first:last]

    @property
    def gradient(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What gradients are sums of."""
        return self.residual_BO, self.value_BK, self.seen_BK

    @property
    def pulling_NO(self) -> np.ndarray:
        """Column sums of what moves b_dec."""
        return self.columns_NO


class LevelCoded(Coded):
    """Codes of rows that have as many as they get, and what every prefix of the dictionary leaves.

    `residual_LBO` of a level is the sum of its own residual and those of the later ones: what its latents see.
    """

    def __init__(self, batch: int, columns: int, d_out: int, dtype: np.dtype, widths: tuple[int, ...]) -> None:
        super().__init__(batch, columns, 0, dtype)
        levels = len(widths)
        self.widths_L, self.error_LB = np.array(widths, np.int64), np.zeros((levels, batch), dtype)
        self.residual_RO = np.zeros((levels * batch, d_out), dtype)
        self.residual_LBO = self.residual_RO.reshape(levels, batch, d_out)
        self.residual_BO, self.error_B = self.residual_LBO[-1], self.error_LB[-1]
        self.columns_NO, self.summed_NO = (np.zeros((row_blocks(batch), d_out), dtype) for _ in range(2))

    def widen(self, columns: int) -> None:
        """Room for more codes in a row; those that were there are lost."""
        shape = len(self.active_B), columns
        self.index_BK = np.zeros(shape, np.int32)
        self.value_BK, self.seen_BK = (np.zeros(shape, self.error_B.dtype) for _ in range(2))

    @property
    def pulling_NO(self) -> np.ndarray:
        """Column sums over all levels."""
        return self.summed_NO if len(self.widths_L) > 1 else self.columns_NO


class Lists:
    """One lane's lists of the rows in which each of its latents is active; the room grows as needed."""

    def __init__(self) -> None:
        self.lists = np.zeros(1, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32)

    def fill(self, coded: Coded, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The lists of latents `first` to `last`: starts, and for each entry its row and its place in the row."""
        start_N, row_E, slot_E = self.lists
        if len(start_N) < last - first + 1:
            start_N = np.zeros(last - first + 1, np.int32)
        if len(row_E) < coded.index_BK.size:
            row_E, slot_E = np.zeros(coded.index_BK.size, np.int32), np.zeros(coded.index_BK.size, np.int32)
        list_rows(coded.index_BK, coded.active_B, first, last, start_N, row_E, slot_E)
        self.lists = start_N, row_E, slot_E
        return self.lists
