"""Rows that share a little with the data and nothing else: what an SAE finds in them was not learned by the model."""

from __future__ import annotations

import numpy as np

from husai.errors import UserError
from husai.seeds import Role, generator

_BLOCK = 4096


def gaussian_twin(mean_D: np.ndarray, covariance_DD: np.ndarray, n: int, seed: int, draw: int = 0) -> np.ndarray:
    """`n` independent rows of the normal distribution with exactly this mean and covariance, float32 [n, D].

    The symmetric square root of the covariance is used, so that the signs and the basis that the eigensolver picks do
    not matter. The first rows are the same whatever `n` is; another `draw` gives other rows.

    Raises:
        UserError: not a covariance (shape, symmetry, a negative variance, NaN).
    """
    mean = np.asarray(mean_D, dtype=np.float64)
    root = symmetric_root(covariance_DD)
    if mean.shape != (len(root),):
        raise UserError(f"the mean has shape {mean.shape}, the covariance {root.shape}: they do not belong together")
    stream = generator(seed, Role.SURROGATE, "gaussian", draw)
    rows = np.empty((n, len(mean)), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        block = stream.standard_normal((_BLOCK, len(mean))) @ root + mean  # always whole, so that `n` changes no bit
        rows[start : start + size] = block[:size]
    return rows


def symmetric_root(covariance_DD: np.ndarray) -> np.ndarray:
    """Symmetric square root [D, D] of a covariance, float64.

    Raises:
        UserError: not a covariance.
    """
    matrix = np.asarray(covariance_DD, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise UserError(f"a covariance is a finite square matrix; this one has shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-12 * float(np.abs(matrix).max(initial=0.0))):
        raise UserError("the covariance is not symmetric")
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values.min() < -1e-8 * max(values.max(), 0.0) or values.max() <= 0:
        raise UserError("the covariance has a negative or no variance: it was not made from rows")
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def shuffled_dimensions(rows_ND: np.ndarray, seed: int, draw: int = 0) -> np.ndarray:
    """Each dimension permuted on its own, float32 [N, D]: every marginal is kept, every dependence is broken."""
    rows = np.asarray(rows_ND, dtype=np.float32)
    return generator(seed, Role.SURROGATE, "shuffled", draw).permuted(rows, axis=0)
