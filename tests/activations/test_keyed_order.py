"""The order of many rows is computed, not kept: a permutation all the same, and nothing in it to be seen."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from husai.activations import permutation
from husai.activations.permutation import DRAWN_ROWS, Drawn, Keyed, how, order_of
from husai.activations.stream import Batches
from husai.seeds import Role, generator

LARGE = (DRAWN_ROWS + 1, 10_000_019, 2**31 + 11, 2**40 + 3)
MANY = 2**17


def stream(*index: int | str) -> np.random.Generator:
    return generator(7, Role.BATCH_ORDER, *index)


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 700), key=st.integers(0, 10**6), cut=st.integers(0, 700))
def test_each_row_comes_once_and_pieces_fit(n, key, cut):
    order = Keyed(n, stream(0, key))
    whole = order.rows(0, n)
    assert whole.dtype == np.int64
    assert np.array_equal(np.sort(whole), np.arange(n))
    cut = min(cut, n)
    assert np.array_equal(np.concatenate([order.rows(0, cut), order.rows(cut, n)]), whole)


def test_every_small_number_of_rows():
    for n in range(1, 300):
        assert np.array_equal(np.sort(Keyed(n, stream(1, n)).rows(0, n)), np.arange(n)), n


@pytest.mark.parametrize("n", LARGE)
def test_no_row_comes_twice_in_a_long_stretch(n):
    order = Keyed(n, stream(2, 0))
    stretches = [order.rows(start, start + MANY) for start in (0, n // 2, n - MANY)]
    seen = np.concatenate(stretches)
    assert seen.min() >= 0 and seen.max() < n
    assert len(np.unique(seen)) == len(seen)


def test_a_whole_order_just_above_the_limit():
    n = DRAWN_ROWS + 1
    assert np.array_equal(np.sort(Keyed(n, stream(3, 0)).rows(0, n)), np.arange(n))


def looks_random(rows: np.ndarray, n: int) -> list[float]:
    """p values: bins, bins of neighbours together, last digits, steps between neighbours, correlations at four lags."""
    place = rows / n
    ten, pairs = (place * 64).astype(int), (place * 16).astype(int)
    together = pairs[:-1:2] * 16 + pairs[1::2]
    found = [stats.chisquare(np.bincount(x, minlength=m)).pvalue for x, m in ((ten, 64), (together, 256))]
    found.append(stats.chisquare(np.bincount(rows % 97, minlength=97)).pvalue)
    found.append(stats.kstest(((rows[1:] - rows[:-1]) % n)[::2] / n, "uniform").pvalue)
    lags = (1, 2, 97, 2048)
    return found + [stats.pearsonr(place[:-lag], place[lag:]).pvalue for lag in lags]


@pytest.mark.parametrize("n", LARGE[1:])
@pytest.mark.parametrize("key", [(0, 0), (0, 1), ("shared", 0)])
def test_nothing_is_to_be_seen(n, key):
    assert min(looks_random(Keyed(n, stream(*key)).rows(5, 5 + MANY), n)) > 1e-4


def test_the_same_tests_see_an_order_of_too_few_rounds(monkeypatch):
    monkeypatch.setattr(permutation, "ROUNDS", 2)
    assert min(looks_random(Keyed(LARGE[1], stream(0, 0)).rows(5, 5 + MANY), LARGE[1])) < 1e-12
    assert min(looks_random(np.arange(MANY), LARGE[1])) < 1e-12


def test_keys_are_independent():
    """Over many keys each row is equally likely at each place, and two orders agree as often as chance has it."""
    n = 1000
    orders = np.stack([Keyed(n, stream(seed, epoch)).rows(0, n) for seed in range(40) for epoch in range(50)])
    for place in (0, 1, 999):
        assert stats.chisquare(np.bincount(orders[:, place], minlength=n)).pvalue > 1e-4
    assert stats.chisquare(np.bincount(orders[:, 0] // 100 * 10 + orders[:, 1] // 100, minlength=100)).pvalue > 1e-4
    agree = (orders[:-1] == orders[1:]).sum(1)
    assert stats.chisquare(np.bincount(agree.clip(max=4), minlength=5), poisson(len(agree))).pvalue > 1e-4
    assert len({row.tobytes() for row in orders}) == len(orders)


def poisson(count: int) -> np.ndarray:
    chances = stats.poisson(1).pmf(np.arange(4))
    return count * np.append(chances, 1 - chances.sum())


def test_no_two_epochs_or_seeds_begin_alike():
    begun = {
        Keyed(n, stream(seed, epoch)).rows(0, 8).tobytes() for n in LARGE for seed in range(20) for epoch in range(20)
    }
    assert len(begun) == len(LARGE) * 400


def test_small_orders_are_drawn_as_ever_and_large_ones_are_not():
    assert np.array_equal(order_of(1000, stream(0, 0)).rows(0, 1000), stream(0, 0).permutation(1000))
    assert isinstance(order_of(DRAWN_ROWS, stream(0, 0)), Drawn)
    assert isinstance(order_of(DRAWN_ROWS + 1, stream(0, 0)), Keyed)
    assert DRAWN_ROWS == 2**22, "the order of what lies between would silently become another"
    assert (how(DRAWN_ROWS), how(DRAWN_ROWS + 1)) == ("drawn permutation", "keyed permutation (8 Feistel rounds)")


def test_the_first_rows_of_a_keyed_order_are_pinned():
    """Whoever changes the network changes what every training on many rows has seen."""
    assert Keyed(10_000_019, stream(0, 0)).rows(0, 4).tolist() == [1826656, 934110, 1218077, 3888580]


def test_memory_is_that_of_the_batch():
    Keyed(100, stream(0, 0)).rows(0, 10)
    tracemalloc.start()
    order = Keyed(10**12, stream(0, 0))
    order.rows(10**11, 10**11 + 4096)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 8 * 4096


def test_batches_of_many_rows_follow_the_same_rules(monkeypatch):
    monkeypatch.setattr(permutation, "DRAWN_ROWS", 50)
    batches = Batches(103, 20, 3, [0, 1, 4], pool=np.arange(5, 96))
    assert "keyed" in batches.how
    n, seen = batches.rows_per_epoch, np.concatenate([batches.indices(step) for step in range(14)], axis=1)
    for number in range(3):
        for epoch in range(3):
            assert np.array_equal(np.sort(seen[number, epoch * n : (epoch + 1) * n]), np.arange(5, 96))
    assert len({row[:40].tobytes() for row in seen}) == 3
    alone = Batches(103, 20, 3, [4], pool=np.arange(5, 96))
    assert np.array_equal(alone.indices(9)[0], batches.indices(9)[2])
    shared = Batches(103, 20, 3, [0, 1], shared_order=True).indices(2)
    assert np.array_equal(shared[0], shared[1])
