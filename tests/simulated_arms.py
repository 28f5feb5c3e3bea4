"""Matrices of pairs as seeds make them, with every part known: `value_ij = mu + a_i + a_j + e_ij`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Process:
    """What an arm's values are drawn from: `seed` is the sd of one a_i, `pair` that of one e_ij."""

    seed: float
    pair: float

    @property
    def sd(self) -> float:
        """Standard deviation of one pair value."""
        return float(np.sqrt(2 * self.seed**2 + self.pair**2))

    def times(self, factor: float) -> Process:
        """The same with all deviations larger."""
        return Process(factor * self.seed, factor * self.pair)

    def arm(self, rng: np.random.Generator, n: int, mean: float = 0.0) -> np.ndarray:
        """One arm of n seeds [n, n]; the diagonal means nothing."""
        a = self.seed * rng.standard_normal(n)
        e = np.triu(self.pair * rng.standard_normal((n, n)), 1)
        return mean + a[:, None] + a[None, :] + e + e.T
