"""The k largest of each row, ties to the lowest index: the same choice every time, whatever is beside the row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def largest(values_BF: Tensor, k: int) -> Tensor:
    """Indices [B, k] of the k largest of each row, ascending. On the CPU, NumPy's partition is the fastest way to them.

    NaN counts as the smallest, so that a diverging run still has a code to report on.
    """
    found = values_BF.detach().cpu().numpy()
    if np.isnan(found).any():
        found = np.nan_to_num(found, nan=-np.inf)
    F = found.shape[-1]
    threshold = np.partition(found, F - k, axis=-1)[:, F - k, None]
    chosen = found >= threshold
    many = chosen.sum(-1) > k
    if many.any():
        chosen[many] = _first_of_ties(found[many], threshold[many], k)
    return torch.from_numpy(np.nonzero(chosen)[1].reshape(-1, k)).to(values_BF.device)


def _first_of_ties(found: np.ndarray, threshold: np.ndarray, k: int) -> np.ndarray:
    """All above the threshold, then those at it from the lowest index on."""
    above, at = found > threshold, found == threshold
    room = k - above.sum(-1, keepdims=True)
    return above | (at & (at.cumsum(-1) <= room))
