"""Cosines between features. A feature is a *row* of an array [F, D]; the axis is declared, never guessed.

A rule such as "transpose when there are more rows than columns" once reported the floor of the transposed shape as the
best stability of a sweep. So nothing here looks at the shape to find out what it means; `d_in` only checks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError

Floats = NDArray[np.float64]
BLOCK = 4_000_000  # cosines held at once by the streaming functions (32 MB)
COLLAPSED_AT = 0.9


def features(A_FD: ArrayLike, d_in: int | None = None) -> Floats:
    """`A_FD` as float64 [F, D], checked.

    Raises:
        UserError: not two axes, the second is not `d_in`, or a value is not finite.
    """
    A = np.asarray(A_FD, dtype=np.float64)
    if A.ndim != 2:
        raise UserError(f"features are the rows of an array [F, D]; this one has shape {A.shape}")
    if d_in is not None and A.shape[1] != d_in:
        hint = "; it looks transposed: pass W_dec [F, D]" if A.shape[0] == d_in else ""
        raise UserError(f"features are rows of length d_in = {d_in}, but the array has shape {A.shape}{hint}")
    if not np.isfinite(A).all():
        bad = int(np.argmin(np.isfinite(A).all(axis=1)))
        raise UserError(f"feature {bad} holds a value that is not finite: the dictionary is damaged")
    return A


def unit_rows(A_FD: ArrayLike, d_in: int | None = None) -> Floats:
    """Rows scaled to norm 1, float64 [F, D]; a row of zeros (padding) stays zero and has cosine 0 with everything."""
    A = features(A_FD, d_in)
    largest = np.abs(A).max(
        axis=1, keepdims=True, initial=0.0
    )  # first, so that tiny and huge rows keep their direction
    A = np.divide(A, largest, out=np.zeros_like(A), where=largest > 0)
    norm = np.linalg.norm(A, axis=1, keepdims=True)
    return np.divide(A, norm, out=np.zeros_like(A), where=norm > 0)


def cosine(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> Floats:
    """Cosine matrix `C = A B^T` [F_A, F_B] of two dictionaries.

    Raises:
        UserError: as `features`, or the rows differ in length.
    """
    A, B = unit_rows(A_FD, d_in), unit_rows(B_FD, d_in)
    return np.clip(A @ _same_width(A, B).T, -1.0, 1.0)


def cosine_blocks(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> Iterator[tuple[int, Floats]]:
    """The cosine matrix in blocks of whole rows: (first row, block [rows, F_B]), each of bounded size."""
    A, B = unit_rows(A_FD, d_in), unit_rows(B_FD, d_in)
    _same_width(A, B)
    rows = max(1, BLOCK // max(1, len(B)))
    for start in range(0, len(A), rows):
        yield start, np.clip(A[start : start + rows] @ B.T, -1.0, 1.0)


def best_abs(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> tuple[Floats, Floats]:
    """`max_j abs(C_ij)` [F_A] and `max_i abs(C_ij)` [F_B], streamed over blocks."""
    of_a: list[Floats] = []
    of_b = np.zeros(len(features(B_FD, d_in)))
    for _, block in cosine_blocks(A_FD, B_FD, d_in):
        size = np.abs(block)
        of_a.append(size.max(axis=1, initial=0.0))
        of_b = np.maximum(of_b, size.max(axis=0, initial=0.0))
    return np.concatenate(of_a) if of_a else np.zeros(0), of_b


@dataclass(frozen=True)
class OwnNeighbour:
    """Each feature's largest cosine with another feature of the *same* dictionary.

    `signed_F` and `abs_F` are [F] (NaN in a dictionary of one feature). A collapsed dictionary matches anything:
    `collapsed` is set when at least half of its features have a neighbour with abs cosine >= .9.
    """

    signed_F: Floats
    abs_F: Floats
    mean: float | None
    share_close: float | None
    collapsed: bool

    def words(self) -> str:
        """The number that stands beside every stability, and the warning if the dictionary collapsed."""
        if self.mean is None or self.share_close is None:
            return "own nearest neighbour: fewer than two features"
        close = (
            f"own nearest-neighbour cosine {self.mean:.3f}, {100 * self.share_close:.1f} % at {COLLAPSED_AT} or above"
        )
        return f"{close}: COLLAPSED, agreement between seeds means nothing" if self.collapsed else close


def nearest_neighbour(A_FD: ArrayLike, d_in: int | None = None) -> OwnNeighbour:
    """Own nearest-neighbour cosine of every feature of one dictionary [F, D]; rows of zeros have cosine 0."""
    A = unit_rows(A_FD, d_in)
    if len(A) < 2:
        nan_F = np.full(len(A), np.nan)
        return OwnNeighbour(nan_F, nan_F.copy(), None, None, False)
    signed, size = [], []
    for start, block in cosine_blocks(A, A):
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        signed.append(block.max(axis=1))
        block[rows, start + rows] = 0.0
        size.append(np.abs(block).max(axis=1))
    signed_F, abs_F = np.concatenate(signed), np.concatenate(size)
    close = float((abs_F >= COLLAPSED_AT).mean())
    return OwnNeighbour(signed_F, abs_F, float(abs_F.mean()), close, close >= 0.5)


def _same_width(A: Floats, B: Floats) -> Floats:
    if A.shape[1] != B.shape[1]:
        raise UserError(
            f"features of length {A.shape[1]} and {B.shape[1]} cannot be compared: they live in other spaces"
        )
    return B
