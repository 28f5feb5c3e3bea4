"""Are the features true? Matching of a dictionary to a planted one, beside its agreement between seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.stability.metrics import mcc_signed


@dataclass(frozen=True)
class Recovery:
    """One dictionary against the truth: mean signed cosine after one-to-one matching, over the larger count."""

    mcc_to_truth: float
    n_latents: int
    n_true: int


def recovery(W_dec_FD: np.ndarray, truth_MD: np.ndarray, alive_F: np.ndarray) -> Recovery:
    """Match the alive rows of a dictionary to the planted features."""
    rows = W_dec_FD[alive_F]
    return Recovery(mcc_signed(rows, truth_MD), len(rows), len(truth_MD))
