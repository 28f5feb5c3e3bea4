"""Stability of two dictionaries: the formulas of definitions, section 2, each for one pair.

A and B are decoders [F, D] with features in rows; F may differ. Restrict both to their alive rows for the population
"alive". One-to-one metrics divide by the larger count, so a feature without a partner counts as 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from husai.errors import UserError
from husai.stability.matching import match
from husai.stability.similarity import Floats, best_abs, cosine, features, unit_rows


def mcc_signed(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> float:
    """`max over one-to-one matchings of mean C_i,pi(i)`; primary (the code of 2505.20254 calls it PW-MCC)."""
    return match(cosine(A_FD, B_FD, d_in)).score


def mcc_abs(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> float:
    """`mcc_signed` with abs(C) in place of C."""
    return match(np.abs(cosine(A_FD, B_FD, d_in))).score


def mean_max_cos(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> float:
    """`1/2 [mean_i max_j abs(C_ij) + mean_j max_i abs(C_ij)]`: no one-to-one matching; memory bounded by blocks."""
    of_a, of_b = best_abs(A_FD, B_FD, d_in)
    if not len(of_a) or not len(of_b):
        return float("nan") if len(of_a) == len(of_b) else 0.0
    return float((of_a.mean() + of_b.mean()) / 2)


def shared_at(
    A_dec_FD: ArrayLike,
    B_dec_FD: ArrayLike,
    A_enc_FD: ArrayLike,
    B_enc_FD: ArrayLike,
    t: float = 0.7,
    d_in: int | None = None,
) -> float:
    """Share of features whose partner is the *same* in encoder and decoder matching, cosine >= t in both (2501.16615).

    Encoders are feature-major, [F, D] like decoders.

    Raises:
        UserError: a dictionary whose encoder and decoder differ in shape.
    """
    C_dec, C_enc = cosine(A_dec_FD, B_dec_FD, d_in), cosine(A_enc_FD, B_enc_FD, d_in)
    if C_dec.shape != C_enc.shape:
        raise UserError(f"encoder and decoder hold different numbers of features: {C_enc.shape} and {C_dec.shape}")
    return shared_share(C_dec, C_enc, [t])[0]


def shared_share(C_dec: Floats, C_enc: Floats, thresholds: list[float]) -> list[float]:
    """`shared_at` for several thresholds from cosine matrices [F_A, F_B] of decoders and encoders."""
    dec, enc = match(C_dec), match(C_enc)
    larger = max(C_dec.shape)
    same = dec.cols == enc.partner()[dec.rows]
    both = np.minimum(dec.similarity, C_enc[dec.rows, dec.cols])
    return [float((same & (both >= t)).sum()) / larger if larger else float("nan") for t in thresholds]


def correlation(acts_A_NF: ArrayLike, acts_B_NF: ArrayLike, block: int = 8192) -> Floats:
    """Pearson correlation [F_A, F_B] of latent activations over the same N held-out rows, streamed in float64.

    A latent that never varies has correlation 0 with everything.

    Raises:
        UserError: the rows differ in number, fewer than two rows, or a value is not finite.
    """
    A, B = np.asarray(acts_A_NF), np.asarray(acts_B_NF)
    if A.ndim != 2 or B.ndim != 2 or len(A) != len(B) or len(A) < 2:
        raise UserError(f"activations are [N, F] over the same N >= 2 rows; given: {A.shape} and {B.shape}")
    mean_a, mean_b = A.mean(axis=0, dtype=np.float64), B.mean(axis=0, dtype=np.float64)
    if not (np.isfinite(mean_a).all() and np.isfinite(mean_b).all()):
        raise UserError("an activation is not finite: the codes are damaged")
    cross, var_a, var_b = np.zeros((A.shape[1], B.shape[1])), np.zeros(A.shape[1]), np.zeros(B.shape[1])
    for start in range(0, len(A), block):
        a, b = A[start : start + block] - mean_a, B[start : start + block] - mean_b
        cross += a.T @ b
        var_a += (a * a).sum(axis=0)
        var_b += (b * b).sum(axis=0)
    return np.clip(_inverse_root(var_a, mean_a, len(A))[:, None] * cross * _inverse_root(var_b, mean_b, len(B)), -1, 1)


def _inverse_root(sum_of_squares_F: Floats, mean_F: Floats, n: int) -> Floats:
    varies = sum_of_squares_F > 1e-18 * n * mean_F**2  # below that it is rounding of a constant
    return np.divide(1.0, np.sqrt(sum_of_squares_F), out=np.zeros_like(mean_F), where=varies)


def activation_match(acts_A_NF: ArrayLike, acts_B_NF: ArrayLike) -> float:
    """Hungarian matching on the correlation of latent activations over held-out rows; divided by the larger count."""
    return match(correlation(acts_A_NF, acts_B_NF)).score


def subspace_overlap(A_FD: ArrayLike, B_FD: ArrayLike, r: int, d_in: int | None = None) -> float:
    """Mean squared cosine of the principal angles of the top-r decoder subspaces; floor r / d.

    Rows are normalised first; the subspace is spanned by the top-r right singular vectors.

    Raises:
        UserError: r is not between 1 and the smallest of F_A, F_B and D.
    """
    V_A, V_B = _top_subspace(A_FD, r, d_in), _top_subspace(B_FD, r, d_in)
    return float(((V_A @ V_B.T) ** 2).sum() / r)


def _top_subspace(A_FD: ArrayLike, r: int, d_in: int | None) -> Floats:
    A = features(A_FD, d_in)
    if not 1 <= r <= min(A.shape):
        raise UserError(
            f"a subspace of {r} dimensions does not fit a dictionary of shape {A.shape}: choose a smaller r"
        )
    return np.linalg.svd(unit_rows(A), full_matrices=False)[2][:r]
