"""Which rows a number is about: with and without norm outliers and the first position of the sequence.

A few rows of enormous norm (the first token is often one) can carry nearly all the variance; explained variance is
then a statement about them alone.
"""

from __future__ import annotations

import numpy as np

from husai.activations.cache import ActivationCache

ALL = "all"
WITHOUT_OUTLIERS = "without_norm_outliers"
WITHOUT_FIRST = "without_first_position"
WITHOUT_BOTH = "without_both"


def norm_outliers(rows_ND: np.ndarray, mean_D: np.ndarray, threshold: float) -> np.ndarray:
    """Mask [N] of rows that lie further than `threshold` from the mean row."""
    distance_N = np.sqrt(((rows_ND.astype(np.float64) - mean_D) ** 2).sum(axis=1))
    return distance_N > threshold


def strata(
    rows_ND: np.ndarray, mean_D: np.ndarray, threshold: float, positions_N: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Masks [N] of the rows to evaluate on, by name.

    The names that leave out the first position exist only where positions are known. The mean and the threshold are
    those of all rows (the manifest's), so that a row is judged alike in every batch.
    """
    inside = ~norm_outliers(rows_ND, mean_D, threshold)
    masks = {ALL: np.ones(len(rows_ND), dtype=bool), WITHOUT_OUTLIERS: inside}
    if positions_N is not None:
        masks[WITHOUT_FIRST] = positions_N != 0
        masks[WITHOUT_BOTH] = inside & (positions_N != 0)
    return masks


def cache_strata(cache: ActivationCache, indices: np.ndarray) -> dict[str, np.ndarray]:
    """`strata` of the rows `indices` [n] of a cache."""
    positions = cache.column("positions", indices) if "positions" in cache.manifest.columns else None
    return strata(cache.rows(indices), cache.mean_D, cache.manifest.norms.outlier_threshold, positions)
