"""T65. "Low k is more stable": low k had kept only frequent features, and those return more often under any k. husai
cuts both arms at the same frequency edges; within a stratum nothing is left of the effect.
"""

from __future__ import annotations

import numpy as np

from husai.stability.pairwise import pairwise
from husai.stability.strata import frequency_edges, stratified
from husai.statistics.intervals import pair_mean, pair_mean_difference

S, F, D = 5, 60, 80
FREQUENT, RARE = 0.2, 0.01


def arm(seed: int, frequent: int) -> tuple[np.ndarray, np.ndarray]:
    """F latents, `frequent` of them frequent. Frequent features return closely in every seed, rare ones hardly."""
    rng = np.random.default_rng(seed)
    noise = np.where(np.arange(F) < frequent, 0.3, 1.5)[:, None]
    W = rng.standard_normal((F, D)) + noise * rng.standard_normal((S, F, D))
    frequency = np.where(np.arange(F) < frequent, FREQUENT, RARE) * rng.uniform(0.8, 1.2, (S, F))
    return W, frequency


LOW_K, HIGH_K = arm(1, 45), arm(2, 15)


def test_the_raw_difference_looks_like_an_effect_of_k() -> None:
    a, b = (pairwise(W).matrix("mcc_signed") for W, _ in (LOW_K, HIGH_K))
    difference = pair_mean_difference(a, b)
    assert difference.low is not None and difference.low > 0.2


def test_within_strata_it_is_gone() -> None:
    edges = (0.05,)
    a, b = (stratified(W, frequency, edges) for W, frequency in (LOW_K, HIGH_K))
    for q in range(2):
        assert abs(pair_mean_difference(a.values_QSS[q], b.values_QSS[q]).value) < 0.06
    assert pair_mean(a.values_QSS[1]).value - pair_mean(a.values_QSS[0]).value > 0.3
    assert a.count_QS[:, 0].tolist() == [15, 45] and b.count_QS[:, 0].tolist() == [45, 15]


def test_own_terciles_of_each_arm_would_hide_the_composition() -> None:
    """The reason why edges are given: terciles of each arm alone differ by an order of magnitude."""
    low, high = (frequency_edges(frequency) for _, frequency in (LOW_K, HIGH_K))
    assert low[0] > 10 * high[0]
