"""Do decoder rows lie in the Fourier planes of modular addition?

For each frequency w = 1 .. (p-1)/2 the activations' regression on cos(2 pi w s / p) and sin(2 pi w s / p), s the
answer, spans a plane of R^D. The basis is real: complex bins of conjugate frequencies cancel and once gave "2 %" for a
perfect embedding. A row inside one plane scores 1; chance is measured with random rows against the same planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.errors import UserError
from husai.seeds import Role, generator


@dataclass(frozen=True)
class Planes:
    """Orthonormal bases [W, D, 2] of the planes, and each frequency's share of the activations' variance [W]."""

    basis_WD2: np.ndarray
    energy_W: np.ndarray
    frequencies: np.ndarray

    def above(self, energy: float) -> Planes:
        """Only the planes that hold at least this share of the variance (the strongest one where none does)."""
        kept = np.flatnonzero(self.energy_W >= min(energy, self.energy_W.max()))
        return Planes(self.basis_WD2[kept], self.energy_W[kept], self.frequencies[kept])


def real_basis(s_N: np.ndarray, p: int) -> np.ndarray:
    """cos and sin of every frequency at residues s: [N, W, 2]; constant excluded.

    Raises:
        UserError: p is even or below 3 (the last frequency would have no sine).
    """
    if p < 3 or p % 2 == 0:
        raise UserError(f"Fourier planes need an odd modulus of at least 3, not {p}")
    angles = 2 * np.pi * np.outer(s_N, np.arange(1, (p - 1) // 2 + 1)) / p
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def explained_by_frequency(values_NK: np.ndarray, s_N: np.ndarray, p: int) -> np.ndarray:
    """Share of each column's variance explained by each frequency [W, K], from the means over equal residues.

    Sums to the share that depends on the residue alone; a column that is one cosine scores 1 at its frequency.
    """
    centred = values_NK.astype(np.float64) - values_NK.mean(0, dtype=np.float64)
    counts = np.bincount(s_N, minlength=p)
    if (counts == 0).any():
        raise UserError(f"not every residue modulo {p} occurs: Fourier shares are not defined on these rows")
    profile = np.stack([np.bincount(s_N, weights=column, minlength=p) for column in centred.T], axis=1)
    profile = profile / counts[:, None]
    amplitude = np.einsum("swc,sk->wkc", real_basis(np.arange(p), p), profile) * (2 / p)
    power = (amplitude**2).sum(-1) / 2
    variance = (centred**2).mean(0)
    return np.divide(power, variance, out=np.zeros_like(power), where=variance > 0)


def planes(x_ND: np.ndarray, s_N: np.ndarray, p: int) -> Planes:
    """Fourier planes of activations x [N, D] whose rows have residues s [N]."""
    centred = x_ND.astype(np.float64) - x_ND.mean(0, dtype=np.float64)
    directions = np.einsum("nwc,nd->wdc", real_basis(s_N, p), centred) / len(s_N)
    basis, _ = np.linalg.qr(directions)
    power = 2 * (directions**2).sum((1, 2))
    return Planes(basis, power / (centred**2).sum(1).mean(), np.arange(1, len(power) + 1))


def best_plane(W_FD: np.ndarray, fourier: Planes) -> tuple[np.ndarray, np.ndarray]:
    """Per row: squared share of its norm in its best plane [F], and that plane's frequency [F]."""
    unit = W_FD / np.linalg.norm(W_FD, axis=1, keepdims=True).clip(1e-12)
    share_WF = (np.einsum("wdc,fd->wfc", fourier.basis_WD2, unit) ** 2).sum(-1)
    return share_WF.max(0), fourier.frequencies[share_WF.argmax(0)]


def in_span(W_FD: np.ndarray, fourier: Planes) -> np.ndarray:
    """Per row: squared share of its norm in the span of all planes [F]."""
    unit = W_FD / np.linalg.norm(W_FD, axis=1, keepdims=True).clip(1e-12)
    both = np.concatenate(list(fourier.basis_WD2), axis=1)
    left, strength, _ = np.linalg.svd(both, full_matrices=False)
    span = left[:, strength > 1e-9 * strength.max()]
    return ((unit @ span) ** 2).sum(1)


def chance(fourier: Planes, n: int, root: int) -> tuple[float, float]:
    """Mean and standard deviation of `best_plane` over `n` random unit rows."""
    rows = generator(root, Role.EVALUATION, "fourier").standard_normal((n, fourier.basis_WD2.shape[1]))
    share, _ = best_plane(rows, fourier)
    return float(share.mean()), float(share.std(ddof=1))
