"""Replays of published formulas: computed as they were, marked as what they are."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.statistics.intervals import at_level, pair_mean
from husai.statistics.legacy import REPLAY_ONLY, legacy_conservative_lcb, legacy_pair_bootstrap


def matrix(n: int = 5) -> np.ndarray:
    x = np.random.default_rng(0).random((n, n))
    return (x + x.T) / 2


def test_the_bootstrap_replay_is_deterministic_and_marked() -> None:
    a, b = legacy_pair_bootstrap(matrix()), legacy_pair_bootstrap(matrix())
    assert a == b
    assert (a.n, a.n_unit, a.note, a.se) == (10, "pairs", REPLAY_ONLY, None)
    i, j = np.triu_indices(5, 1)
    pairs = matrix()[i, j]
    assert a.value == pytest.approx(pairs.mean())
    normal = 1.96 * pairs.std() / np.sqrt(10)
    assert (a.high or 0) - (a.low or 0) == pytest.approx(2 * normal, rel=0.05)


def test_it_cannot_be_taken_to_another_level() -> None:
    with pytest.raises(UserError, match="one level only"):
        at_level(legacy_pair_bootstrap(matrix(), draws=20), 0.9)


def test_the_legacy_bound() -> None:
    trained, control = pair_mean(matrix() + 1), pair_mean(matrix())
    assert legacy_conservative_lcb(trained, control) == pytest.approx((trained.low or 0) - (control.high or 0))
    with pytest.raises(UserError, match="both intervals"):
        legacy_conservative_lcb(pair_mean(matrix(3)), control)


def test_bad_matrix() -> None:
    with pytest.raises(UserError, match="square"):
        legacy_pair_bootstrap(np.ones((2, 3)))
