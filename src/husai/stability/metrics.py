"""Stability of two dictionaries: the formulas of definitions, section 2, each for one pair.

A and B are decoders [F, D] with features in rows; F may differ. Restrict both to their alive rows for the population
"alive". One-to-one metrics divide by the larger count, so a feature without a partner counts as 0.

Memory is bounded for any F: up to about 16,000 features the cosines are held at once, in float64, and the matching is
exact; above they are streamed in float32 and the matching is among nearest neighbours (`matching`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from husai.errors import UserError
from husai.stability.correlation import Latents, correlated, correlation, latents, same_rows
from husai.stability.hungarian import Matching, match_in_place
from husai.stability.matching import match_features, match_rows
from husai.stability.rows import PIECE, Floats, Rows, directions
from husai.stability.similarity import best_abs
from husai.stability.tiles import held_whole

__all__ = [
    "activation_match",
    "correlation",
    "match_latents",
    "mcc_abs",
    "mcc_signed",
    "mean_max",
    "mean_max_cos",
    "overlap",
    "shared_at",
    "shared_share",
    "subspace_overlap",
]


def mcc_signed(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> float:
    """`max over one-to-one matchings of mean C_i,pi(i)`; primary (the code of 2505.20254 calls it PW-MCC)."""
    return match_features(A_FD, B_FD, d_in).score


def mcc_abs(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> float:
    """`mcc_signed` with abs(C) in place of C."""
    return match_features(A_FD, B_FD, d_in, "abs").score


def mean_max_cos(A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None) -> float:
    """`1/2 [mean_i max_j abs(C_ij) + mean_j max_i abs(C_ij)]`: no one-to-one matching."""
    return mean_max(*best_abs(A_FD, B_FD, d_in))


def mean_max(largest_a: Floats, largest_b: Floats) -> float:
    """`mean_max_cos` from the largest abs(cosine) of every feature on either side."""
    if not len(largest_a) or not len(largest_b):
        return float("nan") if len(largest_a) == len(largest_b) else 0.0
    return float((largest_a.mean() + largest_b.mean()) / 2)


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
    dec, enc = match_features(A_dec_FD, B_dec_FD, d_in), match_features(A_enc_FD, B_enc_FD, d_in)
    return shared_share(dec, enc, [t])[0]


def shared_share(dec: Matching, enc: Matching, thresholds: Sequence[float]) -> list[float]:
    """`shared_at` for several thresholds from the matchings of decoders and of encoders.

    Raises:
        UserError: they match different numbers of features.
    """
    if (dec.n_rows, dec.n_cols) != (enc.n_rows, enc.n_cols):
        shapes = f"{(enc.n_rows, enc.n_cols)} and {(dec.n_rows, dec.n_cols)}"
        raise UserError(f"encoder and decoder hold different numbers of features: {shapes}")
    larger = max(dec.n_rows, dec.n_cols)
    in_encoder = np.full(dec.n_rows, -np.inf)
    in_encoder[enc.rows] = enc.similarity
    same = dec.cols == enc.partner()[dec.rows]
    both = np.minimum(dec.similarity, in_encoder[dec.rows])
    return [float((same & (both >= t)).sum()) / larger if larger else float("nan") for t in thresholds]


def activation_match(acts_A_NF: ArrayLike, acts_B_NF: ArrayLike) -> float:
    """Matching on the correlation of latent activations [N, F] over held-out rows; divided by the larger count.

    Raises:
        UserError: as `correlation`.
    """
    return match_latents(latents(acts_A_NF), latents(acts_B_NF)).score


def match_latents(a: Latents, b: Latents, tile: int | None = None) -> Matching:
    """Matching of latents by the correlation of their activations.

    Raises:
        UserError: the activations are over different numbers of rows.
    """
    a, b = same_rows(a, b)
    return match_in_place(correlated(a, b)) if held_whole(len(a), len(b)) else match_rows(a, b, tile=tile)


def subspace_overlap(A_FD: ArrayLike, B_FD: ArrayLike, r: int, d_in: int | None = None) -> float:
    """Mean squared cosine of the principal angles of the top-r decoder subspaces; floor r / d.

    Rows are normalised first; the subspace is spanned by the top-r right singular vectors.

    Raises:
        UserError: r is not between 1 and the smallest of F_A, F_B and D.
    """
    return overlap(directions(A_FD, d_in), directions(B_FD, d_in), r)


def overlap(a: Rows, b: Rows, r: int) -> float:
    """`subspace_overlap` of rows.

    Raises:
        UserError: r is not between 1 and the smallest of both counts and the width.
    """
    return float(((_top_subspace(a, r) @ _top_subspace(b, r).T) ** 2).sum() / r)


def _top_subspace(a: Rows, r: int) -> Floats:
    if not 1 <= r <= min(len(a), a.width):
        shape = (len(a), a.width)
        raise UserError(f"a subspace of {r} dimensions does not fit a dictionary of shape {shape}: choose a smaller r")
    if held_whole(len(a), len(a)):
        return np.linalg.svd(a.unit(), full_matrices=False)[2][:r]
    return np.linalg.eigh(_gram(a))[1][:, ::-1].T[:r]


def _gram(a: Rows) -> Floats:
    """`W^T W` [D, D] of the unit rows, in float64, a few rows at a time: its eigenvectors span the same subspaces."""
    gram = np.zeros((a.width, a.width))
    step = max(1, PIECE // a.width)
    for start in range(0, len(a), step):
        W = a.unit(slice(start, start + step))
        gram += W.T @ W
    return gram
