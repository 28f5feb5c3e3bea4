"""The m largest of lists that arrive in pieces, against sorting them whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.stability.largest import Largest, Lists


def sorted_whole(values: np.ndarray, m: int) -> Lists:
    order = np.argsort(-values, axis=1, kind="stable")[:, :m]
    return Lists(np.take_along_axis(values, order, 1), order)


def fed(values: np.ndarray, m: int, cuts: list[int], transposed: bool = False) -> Lists:
    found = Largest(len(values), m)
    for start, stop in zip([0, *cuts], [*cuts, values.shape[1]], strict=True):
        piece = values[:, start:stop]
        found.offer(0, start, np.ascontiguousarray(piece.T).T if transposed else piece)
    return found.lists()


def same(a: Lists, b: Lists) -> bool:
    return bool((a.index == b.index).all() and (a.value == b.value).all())


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 60), st.integers(1, 9), st.data())
def test_pieces_do_not_matter(seed: int, n: int, length: int, m: int, data: st.DataObject) -> None:
    m = min(m, length)
    values = np.random.default_rng(seed).integers(-4, 5, (n, length)).astype(np.float32)  # many ties
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=5)))
    expected = sorted_whole(values, m)
    assert same(fed(values, m, cuts), expected)
    assert same(fed(values, m, cuts, transposed=True), expected)


@pytest.mark.parametrize("order", ["rising", "falling", "shuffled", "equal"])
def test_any_order_of_arrival(order: str) -> None:
    base = np.linspace(-1, 1, 4000, dtype=np.float32)
    made = {"rising": base, "falling": base[::-1], "shuffled": np.random.default_rng(0).permutation(base)}
    values = np.tile(made.get(order, np.zeros_like(base)), (3, 1))
    assert same(fed(values, 8, list(range(100, 4000, 100))), sorted_whole(values, 8))


def test_lists_that_are_too_short() -> None:
    found = Largest(2, 3)
    found.offer(1, 5, np.array([[0.5, -0.5]], dtype=np.float32))
    lists = found.lists()
    assert lists.index.tolist() == [[-1, -1, -1], [5, 6, -1]]
    assert lists.value[1].tolist() == [0.5, -0.5, -np.inf]


def test_a_list_at_an_offset() -> None:
    values = np.random.default_rng(0).standard_normal((10, 400)).astype(np.float32)
    found = Largest(30, 4)
    for start in range(0, 400, 50):
        found.offer(20, start, values[:, start : start + 50])
    lists = found.lists()
    assert same(Lists(lists.value[20:], lists.index[20:]), sorted_whole(values, 4))
    assert (lists.index[:20] == -1).all()


def test_memory_is_a_few_entries_per_list() -> None:
    found = Largest(10, 8)
    for start in range(0, 100_000, 1000):
        found.offer(0, start, np.random.default_rng(start).standard_normal((10, 1000)).astype(np.float32))
    assert found.keys.nbytes == 10 * 4 * 8 * 8
