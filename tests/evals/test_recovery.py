"""Recovery of a planted dictionary: the truth itself scores 1, a random decoder scores the floor of its shape."""

from __future__ import annotations

import numpy as np
import pytest

from husai.evals.recovery import recovery
from husai.seeds import Role, generator


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
