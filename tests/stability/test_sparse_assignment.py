"""The assignment among candidates: the compiled solver, SciPy's and a dense one agree."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from husai.stability.assignment import assign, solve_by_scipy
from husai.stability.candidates import Candidates, candidates
from husai.stability.largest import Lists
from husai.stability.nearest import Neighbours
from husai.stability.prices import lowest_prices, worth, worth_outside


def drawn(seed: int, n: int, k: int, share: float, *, ties: bool = False) -> Candidates:
    rng = np.random.default_rng(seed)
    value = rng.integers(-3, 4, (n, k)) / 4 if ties else rng.uniform(-1, 1, (n, k))
    row, col = np.nonzero((rng.random((n, k)) < share) & (value != 0))
    return Candidates(row, col, value[row, col], n, k)


def best_sum(pairs: Candidates, outside: float) -> float:
    """By the dense solver, with columns that stand for "none"."""
    gain = np.full((pairs.n_rows, pairs.n_cols + pairs.n_rows), -100.0)
    gain[:, pairs.n_cols :] = outside
    gain[pairs.row, pairs.col] = pairs.value
    return float(gain[linear_sum_assignment(gain, maximize=True)].sum())


def total(pairs: Candidates, partner: np.ndarray, outside: float) -> float:
    """Sum of an assignment; it must be one-to-one and among candidates."""
    value = {(r, c): v for r, c, v in zip(pairs.row.tolist(), pairs.col.tolist(), pairs.value.tolist(), strict=True)}
    taken = partner[partner >= 0].tolist()
    assert len(set(taken)) == len(taken)
    return sum(outside if c < 0 else value[r, c] for r, c in enumerate(partner.tolist()))


each_solver = pytest.mark.parametrize("solver", ["compiled", "scipy"])


@each_solver
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), n=st.integers(1, 30), k=st.integers(1, 30), share=st.floats(0, 1), ties=st.booleans(),
    outside=st.sampled_from([-2.0, -1.001, -0.3, 0.4]),
)  # fmt: skip
def test_it_is_the_best(solver: str, seed: int, n: int, k: int, share: float, ties: bool, outside: float) -> None:
    pairs = drawn(seed, n, k, share, ties=ties)
    with pytest.MonkeyPatch.context() as patch:
        if solver == "scipy":
            patch.setitem(sys.modules, "husai.stability.augment", None)
        partner = assign(pairs, outside)
    assert total(pairs, partner, outside) == pytest.approx(best_sum(pairs, outside), abs=1e-9)


@each_solver
def test_a_larger_one(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if solver == "scipy":
        monkeypatch.setitem(sys.modules, "husai.stability.augment", None)
    for share in (0.01, 0.05, 0.3):
        pairs = drawn(1, 400, 400, share)
        for outside in (-2.0, 0.5):
            assert total(pairs, assign(pairs, outside), outside) == pytest.approx(best_sum(pairs, outside), abs=1e-8)


def test_without_numba_scipy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setitem(sys.modules, "husai.stability.augment", None)
    monkeypatch.setattr("husai.stability.assignment.solve_by_scipy", lambda *a: asked.append(1) or solve_by_scipy(*a))
    assert assign(drawn(0, 5, 5, 1.0), -2.0).min() >= 0 and asked == [1]


def test_a_similarity_of_zero_is_no_candidate() -> None:
    """A row without a direction must not take another's partner only because it may."""
    pairs = Candidates(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, 0.0, 0.0]), 2, 2)
    assert assign(pairs, -2.0).tolist() == [0, -1]


def test_candidates_are_the_neighbours_of_both_sides_once() -> None:
    of_a = Lists(np.array([[0.9, 0.8], [0.5, 0.25]], dtype=np.float32), np.array([[2, 0], [1, 2]]))
    of_b = Lists(np.full((3, 2), -np.inf, dtype=np.float32), np.full((3, 2), -1))
    of_b.value[:, 0], of_b.index[:, 0] = [0.8, 0.75, 0.9], [0, 0, 0]
    pairs = candidates(Neighbours(2, of_a, of_b))
    assert list(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True)) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)]
    assert pairs.value == pytest.approx([0.8, 0.75, 0.9, 0.5, 0.25])
    more = pairs.joined(np.array([1, 0]), np.array([0, 0]), np.array([0.125, 7.0]))
    assert more.value == pytest.approx([0.8, 0.75, 0.9, 0.125, 0.5, 0.25])  # what was there stays
    assert more.of(np.array([1])).tolist() == [3, 4, 5]


@given(seed=st.integers(0, 2**31), n=st.integers(1, 12), k=st.integers(12, 20), share=st.floats(0.1, 1))
def test_at_the_lowest_prices_every_row_prefers_its_partner(seed: int, n: int, k: int, share: float) -> None:
    pairs = drawn(seed, n, k, share)
    partner = assign(pairs, -2.0)
    price = lowest_prices(pairs, partner)
    assert (price >= 0).all()
    matched = np.flatnonzero(partner >= 0)
    own = dict(zip(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True), pairs.value.tolist(), strict=True))
    net = np.array([own[r, c] - price[c] for r, c in zip(matched.tolist(), partner[matched].tolist(), strict=True)])
    assert net == pytest.approx(worth(pairs, price)[matched], abs=1e-7)
    free = np.setdiff1d(np.arange(k), partner)
    if (partner >= 0).all():
        assert price[free] == pytest.approx(np.zeros(len(free)), abs=1e-7)
        assert net.sum() + price.sum() == pytest.approx(total(pairs, partner, 0.0), abs=1e-6)


@given(seed=st.integers(0, 2**31), n=st.integers(1, 9), k=st.integers(1, 9), m=st.integers(1, 9))
def test_nothing_outside_the_lists_is_worth_more(seed: int, n: int, k: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    C, price = rng.uniform(-1, 1, (n, k)).astype(np.float32), rng.uniform(0, 1, k)
    found = Neighbours(m, _lists(C, m), _lists(C.T, m))
    outside = np.ones((n, k), dtype=bool)
    pairs = candidates(found)
    outside[pairs.row, pairs.col] = False
    true = np.where(outside, C.astype(np.float64) - price, -np.inf).max(axis=1)
    assert (worth_outside(found, price) >= true - 1e-12).all()
    inside = np.where(outside, -np.inf, C.astype(np.float64) - price).max(axis=1)
    assert worth(pairs, price) == pytest.approx(inside)


def _lists(C: np.ndarray, m: int) -> Lists:
    order = np.argsort(-C, axis=1, kind="stable")[:, :m]
    short = ((0, 0), (0, m - order.shape[1]))
    value = np.pad(np.take_along_axis(C, order, 1), short, constant_values=-np.inf)
    return Lists(value, np.pad(order, short, constant_values=-1))
