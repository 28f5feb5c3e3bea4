"""Rows as unit vectors, a few at a time: what every comparison is made from, wherever the dictionary lies.

A feature is a *row* of an array [F, D]; the axis is declared, never guessed. The array may be a memory-mapped file: it
is read in pieces and never copied as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.intp]
PIECE = 2_000_000  # values read at once (16 MB in float64)


class Rows(Protocol):
    """Rows that can be had as unit vectors: the dot product of two of them is their similarity."""

    @property
    def width(self) -> int:
        """Length of a row."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def unit(self, which: slice | Ints = slice(None)) -> Floats:
        """These rows with norm 1, float64 [n, width]; a row without a direction is zero."""
        ...

    def only(self, which: Ints) -> Self:
        """The rows of these numbers, in this order; nothing is copied."""
        ...


@dataclass(frozen=True)
class Directions:
    """Rows `keep` of a dictionary [F, D] as unit vectors; made by `directions`."""

    A_FD: NDArray[np.floating]
    largest_F: Floats
    norm_F: Floats
    keep: Ints

    @property
    def width(self) -> int:
        """D."""
        return self.A_FD.shape[1]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.keep)

    def unit(self, which: slice | Ints = slice(None)) -> Floats:
        """These rows with norm 1, float64 [n, D]; a row of zeros (padding) stays zero."""
        rows = self.keep[which]
        A = self.A_FD[rows].astype(np.float64, copy=False)  # `rows` are numbers: already a copy
        A /= self.largest_F[rows, None]
        A /= self.norm_F[rows, None]
        return A

    def only(self, which: Ints) -> Self:
        """The rows of these numbers, in this order; nothing is copied."""
        return replace(self, keep=self.keep[which])


def directions(A_FD: ArrayLike, d_in: int | None = None, keep: Ints | None = None) -> Directions:
    """Rows of a dictionary [F, D], or those numbered `keep`, as unit vectors, after one pass over them for their norms.

    Raises:
        UserError: not two axes, the second is not `d_in`, or a value of these rows is not finite.
    """
    A = two_axes(A_FD, d_in)
    rows = np.arange(len(A)) if keep is None else keep
    return Directions(A, *_scales(A, rows), rows)


def two_axes(A_FD: ArrayLike, d_in: int | None = None) -> NDArray[np.floating]:
    """`A_FD` as an array of floats [F, D], not copied if it is one.

    Raises:
        UserError: not two axes, or the second is not `d_in`.
    """
    A = np.asarray(A_FD)
    if not np.issubdtype(A.dtype, np.floating):
        A = A.astype(np.float64)
    if A.ndim != 2:
        raise UserError(f"features are the rows of an array [F, D]; this one has shape {A.shape}")
    if d_in is not None and A.shape[1] != d_in:
        hint = "; it looks transposed: pass W_dec [F, D]" if A.shape[0] == d_in else ""
        raise UserError(f"features are rows of length d_in = {d_in}, but the array has shape {A.shape}{hint}")
    return A


def same_width(a: Rows, b: Rows) -> None:
    """Refuse to compare what lives in different spaces.

    Raises:
        UserError: the rows differ in length.
    """
    if a.width != b.width:
        raise UserError(f"features of length {a.width} and {b.width} cannot be compared: they live in other spaces")


def _scales(A_FD: NDArray[np.floating], keep: Ints) -> tuple[Floats, Floats]:
    """Largest magnitude of each row [F], and norm after division by it; both 1 for a row of zeros.

    Divided by one, then by the other, tiny and huge rows keep their direction.
    """
    largest, norm = np.ones(len(A_FD)), np.ones(len(A_FD))
    step = max(1, PIECE // max(1, A_FD.shape[1]))
    for start in range(0, len(keep), step):
        rows = keep[start : start + step]
        A = A_FD[rows].astype(np.float64, copy=False)
        if not np.isfinite(A).all():
            bad = rows[int(np.argmin(np.isfinite(A).all(axis=1)))]
            raise UserError(f"feature {bad} holds a value that is not finite: the dictionary is damaged")
        size = np.abs(A).max(axis=1, initial=0.0)
        largest[rows] = np.where(size > 0, size, 1.0)
        A /= largest[rows, None]
        norm[rows] = np.where(size > 0, np.linalg.norm(A, axis=1), 1.0)
    return largest, norm
