"""mcc within strata of firing frequency."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability.matching import match_features
from husai.stability.strata import frequency_edges, stratified

RNG = np.random.default_rng(0)
W = RNG.standard_normal((3, 9, 5))
FREQUENCY = RNG.random((3, 9))


def test_one_stratum_for_all_is_mcc_signed() -> None:
    got = stratified(W, FREQUENCY, edges=())
    assert got.values_QSS.shape == (1, 3, 3)
    for i in range(3):
        for j in range(i + 1, 3):
            assert got.values_QSS[0, i, j] == pytest.approx(match_features(W[i], W[j]).score)


def test_by_hand() -> None:
    edges = (0.3, 0.6)
    got = stratified(W, FREQUENCY, edges)
    found = match_features(W[0], W[1])
    of_0, of_1 = np.zeros(9), np.zeros(9)
    of_0[found.rows], of_1[found.cols] = found.similarity, found.similarity
    for q, (low, high) in enumerate([(0, 0.3), (0.3, 0.6), (0.6, 1.1)]):
        in_0, in_1 = ((FREQUENCY[s] >= low) & (FREQUENCY[s] < high) for s in (0, 1))
        assert got.count_QS[q, :2].tolist() == [in_0.sum(), in_1.sum()]
        assert got.values_QSS[q, 0, 1] == pytest.approx((of_0[in_0].mean() + of_1[in_1].mean()) / 2)
    assert np.array_equal(got.values_QSS, got.values_QSS.transpose(0, 2, 1), equal_nan=True)


def test_terciles_hold_a_third_each() -> None:
    edges = frequency_edges(FREQUENCY[:1])
    got = stratified(W, FREQUENCY)
    assert got.edges == edges
    assert got.count_QS[:, 0].tolist() == [3, 3, 3]
    assert got.label(0).startswith("firing frequency 0 to ") and got.label(2).endswith(" to 1")


def test_dead_features_are_in_no_stratum() -> None:
    alive = np.ones((3, 9), dtype=bool)
    alive[:, 5:] = False
    got = stratified(W, FREQUENCY, (0.5,), alive)
    assert got.count_QS.sum(axis=0).tolist() == [5, 5, 5]
    bare = stratified(W[:, :5], FREQUENCY[:, :5], (0.5,))
    assert np.array_equal(got.values_QSS, bare.values_QSS, equal_nan=True)


def test_an_empty_stratum_is_missing_not_zero() -> None:
    assert np.isnan(stratified(W, FREQUENCY * 0.5, (0.6,)).values_QSS[1]).all()


def test_bad_input() -> None:
    with pytest.raises(UserError, match="must rise"):
        stratified(W, FREQUENCY, (0.6, 0.3))
    with pytest.raises(UserError, match="between 0 and 1"):
        stratified(W, FREQUENCY * 3)
    with pytest.raises(UserError, match=r"\[S, F\]"):
        stratified(W, FREQUENCY[0])
    with pytest.raises(UserError, match=r"\[S, F\]"):
        stratified(W, FREQUENCY[:, :4])
    with pytest.raises(UserError, match="no feature is alive"):
        frequency_edges(FREQUENCY, np.zeros((3, 9), dtype=bool))
    with pytest.raises(UserError, match="at least two"):
        frequency_edges(FREQUENCY, n=1)
