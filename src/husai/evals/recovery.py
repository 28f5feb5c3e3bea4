"""Are the features true? Matching of a dictionary to a planted one, beside its agreement between seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.stability.matching import match_features

FOUND_AT = (0.7, 0.9)  # cosines from which a latent counts as a planted feature


@dataclass(frozen=True, eq=False)
class Recovery:
    """One dictionary against the truth, after one-to-one matching by signed cosine.

    `mcc_to_truth` divides by the larger count, so no dictionary can score above `attainable`; `matched` is the mean
    over the pairs that were matched. `cosine_M` is, of each planted feature, the cosine with its partner, -inf where
    it has none.
    """

    mcc_to_truth: float
    n_latents: int
    n_true: int
    cosine_M: np.ndarray

    @property
    def attainable(self) -> float:
        """Largest possible `mcc_to_truth` at these counts."""
        return min(self.n_latents, self.n_true) / max(self.n_latents, self.n_true)

    @property
    def matched(self) -> float:
        """Mean cosine over the matched pairs."""
        return self.mcc_to_truth / self.attainable if self.n_latents else float("nan")

    def precision(self, t: float) -> float:
        """Share of the latents whose planted partner has cosine >= t; not defined without latents."""
        return float((self.cosine_M >= t).sum()) / self.n_latents if self.n_latents else float("nan")

    def recall(self, t: float) -> float:
        """Share of the planted features whose partner has cosine >= t."""
        return float((self.cosine_M >= t).mean())

    def recall_of_firings(self, t: float, frequency_M: np.ndarray) -> float:
        """The same with each planted feature counted as often as it fires: the share of all firings that are found."""
        total = frequency_M.sum()
        return float(frequency_M[self.cosine_M >= t].sum() / total) if total else float("nan")


def recovery(W_dec_FD: np.ndarray, truth_MD: np.ndarray, alive_F: np.ndarray) -> Recovery:
    """Match the alive rows of a dictionary to the planted features."""
    rows = W_dec_FD[alive_F]
    found = match_features(rows, truth_MD)
    cosine_M = np.full(len(truth_MD), -np.inf)
    cosine_M[found.cols] = found.similarity
    return Recovery(found.score, len(rows), len(truth_MD), cosine_M)
