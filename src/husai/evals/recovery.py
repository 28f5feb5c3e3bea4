"""Are the features true? Matching of a dictionary to a planted one, beside its agreement between seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.stability.metrics import mcc_signed


@dataclass(frozen=True)
class Recovery:
    """One dictionary against the truth, after one-to-one matching by signed cosine.

    `mcc_to_truth` divides by the larger count, so no dictionary can score above `attainable`; `matched` is the mean
    over the pairs that were matched.
    """

    mcc_to_truth: float
    n_latents: int
    n_true: int

    @property
    def attainable(self) -> float:
        """Largest possible `mcc_to_truth` at these counts."""
        return min(self.n_latents, self.n_true) / max(self.n_latents, self.n_true)

    @property
    def matched(self) -> float:
        """Mean cosine over the matched pairs."""
        return self.mcc_to_truth / self.attainable if self.n_latents else float("nan")


def recovery(W_dec_FD: np.ndarray, truth_MD: np.ndarray, alive_F: np.ndarray) -> Recovery:
    """Match the alive rows of a dictionary to the planted features."""
    rows = W_dec_FD[alive_F]
    return Recovery(mcc_signed(rows, truth_MD), len(rows), len(truth_MD))
