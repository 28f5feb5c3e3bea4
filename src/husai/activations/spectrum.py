"""How many directions the rows fill: two descriptors with two names, both from the covariance."""

from __future__ import annotations

import numpy as np


def variances(covariance_DD: np.ndarray) -> np.ndarray:
    """Eigenvalues [D] of a covariance, largest first; rounding below zero is cut off."""
    values = np.linalg.eigvalsh(np.asarray(covariance_DD, dtype=np.float64))
    return np.clip(values[::-1], 0.0, None)


def covariance(rows_ND: np.ndarray) -> np.ndarray:
    """Population covariance [D, D] (divided by N) of rows in memory, float64."""
    centred = np.asarray(rows_ND, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    return centred.T @ centred / len(centred)


def effective_rank(covariance_DD: np.ndarray) -> float:
    """`exp(H(s / sum s))`, s = singular values of the centred rows (Roy & Vetterli); between 1 and D.

    Singular values are square roots of the variances up to a factor that cancels.
    """
    s = np.sqrt(variances(covariance_DD))
    share = s[s > 0] / s.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def participation_ratio(covariance_DD: np.ndarray) -> float:
    """`(sum l)^2 / sum l^2`, l = variances along the principal directions; between 1 and D."""
    matrix = np.asarray(covariance_DD, dtype=np.float64)
    return float(np.trace(matrix) ** 2 / (matrix**2).sum())  # the squared eigenvalues sum to the squared entries
