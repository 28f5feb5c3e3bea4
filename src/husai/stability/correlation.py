"""Correlation of latent activations [N, F] over the same held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError
from husai.stability.rows import PIECE, Floats, Ints

WIDE = 1024  # latents of one side taken together


@dataclass(frozen=True)
class Latents:
    """Activations of latents `keep`, centred and scaled to norm 1: the dot product of two latents is their correlation.

    Made by `latents`; the activations [N, F] may be a memory-mapped file.
    """

    acts_NF: NDArray[np.floating]
    mean_F: Floats
    inverse_root_F: Floats
    keep: Ints

    @property
    def width(self) -> int:
        """N."""
        return len(self.acts_NF)

    def __len__(self) -> int:
        """Number of latents."""
        return len(self.keep)

    def unit(self, which: slice | Ints = slice(None)) -> Floats:
        """These latents over all rows, float64 [n, N]; one that never varies is zero."""
        latents = self.keep[which]
        centred_NF = self.acts_NF[:, latents] - self.mean_F[latents]
        centred_NF *= self.inverse_root_F[latents]
        return centred_NF.T

    def only(self, which: Ints) -> Self:
        """The latents of these numbers, in this order; nothing is copied."""
        return replace(self, keep=self.keep[which])


def latents(acts_NF: ArrayLike, keep: Ints | None = None) -> Latents:
    """Activations [N, F], or those of the latents `keep`, as unit vectors, after two passes for mean and variance.

    Raises:
        UserError: not [N, F] with at least two rows, or a value is not finite.
    """
    acts = np.asarray(acts_NF)
    if acts.ndim != 2 or len(acts) < 2:
        raise UserError(f"activations are [N, F] with N >= 2 rows; given: {acts.shape}")
    mean = acts.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise UserError("an activation is not finite: the codes are damaged")
    squares = np.zeros(acts.shape[1])
    step = max(1, PIECE // max(1, acts.shape[1]))
    for start in range(0, len(acts), step):
        centred = acts[start : start + step] - mean
        squares += np.einsum("nf,nf->f", centred, centred)
    varies = squares > 1e-18 * len(acts) * mean**2  # below that it is rounding of a constant
    inverse = np.divide(1.0, np.sqrt(squares), out=np.zeros_like(mean), where=varies)
    return Latents(acts, mean, inverse, np.arange(acts.shape[1]) if keep is None else keep)


def correlation(acts_A_NF: ArrayLike, acts_B_NF: ArrayLike, block: int = 8192) -> Floats:
    """Pearson correlation [F_A, F_B] of latent activations over the same N held-out rows, streamed in float64.

    A latent that never varies has correlation 0 with everything.

    Raises:
        UserError: the rows differ in number, fewer than two rows, or a value is not finite.
    """
    return correlated(*same_rows(latents(acts_A_NF), latents(acts_B_NF)), block)


def correlated(a: Latents, b: Latents, block: int = 8192) -> Floats:
    """`correlation` of latents: one matrix, and `block` rows of some latents, are held."""
    cross = np.zeros((len(a), len(b)))
    for start in range(0, a.width, block):
        rows = slice(start, start + block)
        for top in range(0, len(a), WIDE):
            left = a.keep[top : top + WIDE]
            x = a.acts_NF[rows, left] - a.mean_F[left]
            for first in range(0, len(b), WIDE):
                right = b.keep[first : first + WIDE]
                y = b.acts_NF[rows, right] - b.mean_F[right]
                cross[top : top + WIDE, first : first + WIDE] += x.T @ y
    cross *= a.inverse_root_F[a.keep, None]
    cross *= b.inverse_root_F[b.keep]
    return np.clip(cross, -1.0, 1.0, out=cross)


def same_rows(a: Latents, b: Latents) -> tuple[Latents, Latents]:
    """Both, if they are over the same number of rows.

    Raises:
        UserError: they are not.
    """
    if a.width != b.width:
        raise UserError(f"activations are [N, F] over the same N >= 2 rows; given: {a.width} and {b.width} rows")
    return a, b
