"""T63. "Stable across seeds": the initialisation had been taken from the same data (means, centroids), so the seeds
agreed before the first step. husai compares the decoders at step 0 and says so.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.stability.shared_init import shared_initialisation

S, F, D, CLUSTERS = 5, 32, 64, 32
RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((CLUSTERS, D))
DATA = np.repeat(CENTRES, 40, axis=0) + 0.3 * RNG.standard_normal((CLUSTERS * 40, D))


def from_centroids(seed: int) -> np.ndarray:
    """A few rounds of k-means of the shared data from a random start."""
    rng = np.random.default_rng(seed)
    centroids = DATA[rng.permutation(len(DATA))[:F]]
    for _ in range(10):
        nearest = ((DATA[:, None] - centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
        centroids = np.stack(
            [DATA[nearest == f].mean(axis=0) if (nearest == f).any() else centroids[f] for f in range(F)]
        )
    return centroids


def test_centroids_of_the_same_data_are_detected() -> None:
    got = shared_initialisation(np.stack([from_centroids(s) for s in range(S)]))
    assert got.shared
    assert got.words().startswith("SHARED INITIALISATION: at step 0 10 of 10 pairs")


def test_rows_of_the_same_data_are_detected() -> None:
    rows = np.stack([DATA[np.random.default_rng(s).permutation(len(DATA))[:F]] for s in range(S)])
    assert shared_initialisation(rows).shared


def test_one_seed_copied_is_detected() -> None:
    W = RNG.standard_normal((S, F, D))
    W[4] = W[0][::-1]
    got = shared_initialisation(W)
    assert got.finding == "identical" and "1 of 10 pairs identical" in got.words()


@pytest.mark.parametrize("seed", range(10))
def test_independent_initialisations_are_not_accused(seed: int) -> None:
    W = np.random.default_rng(seed).standard_normal((S, F, D))
    got = shared_initialisation(W)
    assert not got.shared and "independent" in got.words()
