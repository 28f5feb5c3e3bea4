"""Cosines between features. A feature is a *row* of an array [F, D]; the axis is declared, never guessed.

A rule such as "transpose when there are more rows than columns" once reported the floor of the transposed shape as the
best stability of a sweep. So nothing here looks at the shape to find out what it means; `d_in` only checks it.

Up to about 16,000 features cosines are float64; above they are float32, streamed (`tiles`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from husai.stability.nearest import largest_abs, own_largest
from husai.stability.rows import Floats, Rows, directions, same_width
from husai.stability.tiles import held_whole

BLOCK = 4_000_000  # cosines held at once by the streaming functions (32 MB)
COLLAPSED_AT = 0.9


def features(A_FD: ArrayLike, d_in: int | None = None) -> Floats:
    """`A_FD` as float64 [F, D], checked.

    Raises:
        UserError: not two axes, the second is not `d_in`, or a value is not finite.
    """
    return directions(A_FD, d_in).A_FD.astype(np.float64)


def unit_rows(A_FD: ArrayLike, d_in: int | None = None) -> Floats:
    """Rows scaled to norm 1, float64 [F, D]; a row of zeros (padding) stays zero and has cosine 0 with everything."""
    return directions(A_FD, d_in).unit()


def cosine(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> Floats:
    """Cosine matrix `C = A B^T` [F_A, F_B] of two dictionaries.

    Raises:
        UserError: as `features`, or the rows differ in length.
    """
    return whole(directions(A_FD, d_in), directions(B_FD, d_in))


def whole(a: Rows, b: Rows) -> Floats:
    """Every cosine at once, float64 [F_A, F_B].

    Raises:
        UserError: the rows differ in length.
    """
    same_width(a, b)
    C = a.unit() @ b.unit().T
    return np.clip(C, -1.0, 1.0, out=C)


def cosine_blocks(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> Iterator[tuple[int, Floats]]:
    """The cosine matrix in float64 blocks of whole rows: (first row, block [rows, F_B]), each of bounded size."""
    return _blocks(directions(A_FD, d_in), directions(B_FD, d_in))


def _blocks(a: Rows, b: Rows) -> Iterator[tuple[int, Floats]]:
    same_width(a, b)
    A, B = a.unit(), b.unit()
    rows = max(1, BLOCK // max(1, len(B)))
    for start in range(0, len(A), rows):
        yield start, np.clip(A[start : start + rows] @ B.T, -1.0, 1.0)


def best_abs(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> tuple[Floats, Floats]:
    """`max_j abs(C_ij)` [F_A] and `max_i abs(C_ij)` [F_B]; memory bounded, in float32 above about 16,000 features."""
    a, b = directions(A_FD, d_in), directions(B_FD, d_in)
    if not held_whole(len(a), len(b)):
        large_a, large_b = largest_abs(a, b)
        return large_a.astype(np.float64), large_b.astype(np.float64)
    of_a: list[Floats] = []
    of_b = np.zeros(len(b))
    for _, block in _blocks(a, b):
        size = np.abs(block)
        of_a.append(size.max(axis=1, initial=0.0))
        of_b = np.maximum(of_b, size.max(axis=0, initial=0.0))
    return np.concatenate(of_a) if of_a else np.zeros(0), of_b


@dataclass(frozen=True)
class OwnNeighbour:
    """Each feature's largest cosine with another feature of the *same* dictionary.

    `signed_F` and `abs_F` are [F] (NaN in a dictionary of one feature). A collapsed dictionary matches anything:
    `collapsed` is set when at least half of its features have a neighbour with cosine >= .9. The sign counts, as in the
    primary statistic: a pair w, -w is how a code without negative values writes one direction, not a copy.
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
    return own_neighbour(directions(A_FD, d_in))


def own_neighbour(a: Rows, tile: int | None = None) -> OwnNeighbour:
    """`nearest_neighbour` of rows; memory bounded, in float32 above about 16,000 features."""
    if len(a) < 2:
        nan_F = np.full(len(a), np.nan)
        return OwnNeighbour(nan_F, nan_F.copy(), None, None, False)
    signed_F, abs_F = _own_largest(a) if held_whole(len(a), len(a)) else own_largest(a, tile)
    close = float((signed_F >= COLLAPSED_AT).mean())
    return OwnNeighbour(signed_F, abs_F, float(abs_F.mean()), close, close >= 0.5)


def _own_largest(a: Rows) -> tuple[Floats, Floats]:
    signed, size = [], []
    for start, block in _blocks(a, a):
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        signed.append(block.max(axis=1))
        block[rows, start + rows] = 0.0
        size.append(np.abs(block).max(axis=1))
    return np.concatenate(signed), np.concatenate(size)
