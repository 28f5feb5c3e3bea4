"""Which features come back and what they carry."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability.matching import match_all
from husai.stability.reappearance import carried, reappearance, reappears


def dictionaries() -> np.ndarray:
    """Four seeds: features 0 and 1 in all, feature 2 in the first two, the rest their own (orthogonal), permuted."""
    basis = np.eye(12)
    rows = [[0, 1, 2], [0, 1, 2], [0, 1, 5], [0, 1, 6]]
    W = np.stack([basis[r] for r in rows])
    return np.stack([w[np.random.default_rng(s).permutation(3)] for s, w in enumerate(W)])


def test_share_of_other_seeds() -> None:
    W = dictionaries()
    share = reappearance(match_all(W))
    for s in range(4):
        which = W[s].argmax(axis=1)
        expected = [1.0 if w < 2 else (1 / 3 if w == 2 else 0.0) for w in which]
        assert share[s] == pytest.approx(expected)


def test_threshold() -> None:
    A = np.array([[1.0, 0.0]])
    B = np.array([[0.8, 0.6]])
    matches = match_all(np.stack([A, B]))
    assert reappearance(matches, 0.79)[0, 0] == 1 and reappearance(matches, 0.81)[0, 0] == 0


def test_dead_features_are_missing_and_bring_nothing_back() -> None:
    W = np.stack([np.eye(3)] * 3)
    alive = np.ones((3, 3), dtype=bool)
    alive[1, 0] = False
    share = reappearance(match_all(W, alive))
    assert np.isnan(share[1, 0])
    assert share[0].tolist() == [0.5, 1.0, 1.0]
    assert reappears(share)[1].tolist() == [False, True, True]


def test_one_seed_cannot_reappear() -> None:
    with pytest.raises(UserError, match="two seeds"):
        reappearance(match_all(np.ones((1, 2, 3))))


def test_what_reappearing_features_carry() -> None:
    back = np.array([[True, False, True], [False, False, False]])
    mass = np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    got = carried(back, mass)
    assert got.carried_S.tolist() == [2.0, 0.0] and got.total_S.tolist() == [4.0, 0.0]
    assert got.share_S[0] == 0.5 and np.isnan(got.share_S[1])


def test_bad_contributions() -> None:
    mask = np.ones((2, 3), dtype=bool)
    with pytest.raises(UserError, match="one shape"):
        carried(mask, np.ones((3, 2)))
    with pytest.raises(UserError, match="not finite"):
        carried(mask, np.full((2, 3), np.nan))
    with pytest.raises(UserError, match="mask"):
        carried(np.ones((2, 3)), np.ones((2, 3)))
