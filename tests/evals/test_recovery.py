"""Recovery of a planted dictionary: the truth itself scores 1, a random decoder scores the floor of its shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from husai.evals.recovery import recovery
from husai.seeds import Role, generator
from husai.stability.nulls import floor_mcc


def draw(n: int, d: int, seed: int) -> np.ndarray:
    return generator(seed, Role.EVALUATION, "test").standard_normal((n, d))


def test_the_truth_in_another_order_scores_one() -> None:
    truth = draw(48, 16, 0)
    found = recovery(3.0 * truth[::-1], truth, np.ones(48, dtype=bool))
    assert found.mcc_to_truth == pytest.approx(1)


def test_missing_and_surplus_latents_cost_their_share() -> None:
    truth = draw(40, 16, 0)
    alive = np.arange(40) < 30
    assert recovery(truth, truth, alive).mcc_to_truth == pytest.approx(30 / 40)
    assert recovery(np.concatenate([truth, truth[:10]]), truth, np.ones(50, dtype=bool)).mcc_to_truth < 0.81


def test_a_random_decoder_scores_its_floor() -> None:
    scores = [recovery(draw(32, 16, s), draw(32, 16, 100 + s), np.ones(32, dtype=bool)).mcc_to_truth for s in range(30)]
    assert np.mean(scores) == pytest.approx(0.453, abs=0.01)  # definitions: d = 16, n = 32


def by_hand(W: np.ndarray, truth: np.ndarray, t: float) -> tuple[float, float, np.ndarray]:
    """Precision, recall and which planted features are found, with cosines and assignment of their own."""
    C = (W / np.linalg.norm(W, axis=1)[:, None]) @ (truth / np.linalg.norm(truth, axis=1)[:, None]).T
    rows, cols = linear_sum_assignment(C, maximize=True)
    hit = cols[C[rows, cols] >= t]
    return len(hit) / len(W), len(hit) / len(truth), np.isin(np.arange(len(truth)), hit)


@pytest.mark.parametrize("n_latents", [20, 30, 45])
@pytest.mark.parametrize("t", [0.7, 0.9])
def test_precision_and_recall_count_the_matched_pairs_above_t(n_latents: int, t: float) -> None:
    truth = draw(30, 8, 0)
    W = np.concatenate([truth[:15] + 0.25 * draw(15, 8, 1), draw(n_latents - 15, 8, 2)])
    precision, recall, hit = by_hand(W, truth, t)
    found = recovery(W, truth, np.ones(n_latents, dtype=bool))
    assert (found.precision(t), found.recall(t)) == pytest.approx((precision, recall))
    assert 0 < recall < 1
    frequency = np.arange(1.0, 31) ** -1
    assert found.recall_of_firings(t, frequency) == pytest.approx(frequency[hit].sum() / frequency.sum())


def test_what_is_missed_and_what_is_made_up_are_told_apart() -> None:
    truth = draw(40, 16, 0)
    half = recovery(truth, truth, np.arange(40) < 10)
    assert (half.precision(0.9), half.recall(0.9)) == (1, 0.25)
    copies = recovery(np.repeat(truth, 2, axis=0), truth, np.ones(80, dtype=bool))
    assert (copies.precision(0.9), copies.recall(0.9)) == (0.5, 1)
    frequency = np.r_[np.full(10, 0.3), np.full(30, 0.01)]
    assert half.recall_of_firings(0.9, frequency) == pytest.approx(3 / 3.3)
    nothing = recovery(truth, truth, np.zeros(40, dtype=bool))
    assert np.isnan(nothing.precision(0.7)) and nothing.recall(0.7) == nothing.recall_of_firings(0.7, frequency) == 0


def test_random_directions_find_nothing_where_there_is_room_and_their_floor_where_there_is_none() -> None:
    """d = 96, n = 1,024: P(cosine >= .7) = 3e-16 a pair. d = 2: twelve directions have a partner within 45 degrees."""
    truth, made = draw(1024, 96, 0), draw(1024, 96, 1)
    found = recovery(made, truth, np.ones(1024, dtype=bool))
    assert found.precision(0.7) == found.recall(0.7) == found.recall_of_firings(0.7, np.ones(1024)) == 0
    assert found.mcc_to_truth == pytest.approx(floor_mcc("mcc_signed", 96, 1024, 1024).value, abs=0.005)
    crowded = recovery(draw(12, 2, 0), draw(12, 2, 1), np.ones(12, dtype=bool))
    assert crowded.recall(0.7) == by_hand(draw(12, 2, 0), draw(12, 2, 1), 0.7)[1] > 0.5
