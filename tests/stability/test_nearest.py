"""Nearest neighbours both ways in one pass, against the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability.largest import Lists
from husai.stability.nearest import Kind, largest_abs, nearest_net, neighbours, own_largest
from husai.stability.rows import directions
from husai.stability.similarity import cosine

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2300, 12)), RNG.standard_normal((1500, 12))
C = cosine(A, B)


def check(lists: Lists, values: np.ndarray, m: int) -> None:
    """Values are the m largest of each row; each index has the value it is said to have."""
    assert np.allclose(lists.value, -np.sort(-values, axis=1)[:, :m], atol=1e-6, rtol=0)
    assert np.allclose(np.take_along_axis(values, lists.index, 1), lists.value, atol=1e-6, rtol=0)
    assert all(len(set(row)) == m for row in lists.index.tolist())


@pytest.mark.parametrize("kind", ["signed", "abs"])
def test_both_sides(kind: Kind) -> None:
    values = np.abs(C) if kind == "abs" else C
    found = neighbours(directions(A), directions(B), 7, (kind,))[kind]
    check(found.of_a, values, 7)
    check(found.of_b, values.T, 7)
    assert found.turned().of_a is found.of_b and found.turned().of_b is found.of_a


def test_both_kinds_in_one_pass_are_those_of_two() -> None:
    a, b = directions(A), directions(B)
    both = neighbours(a, b, 5, ("signed", "abs"))
    for kind in ("signed", "abs"):
        alone = neighbours(a, b, 5, (kind,))[kind]
        for x, y in ((both[kind].of_a, alone.of_a), (both[kind].of_b, alone.of_b)):
            assert (x.index == y.index).all() and (x.value == y.value).all()


@pytest.mark.parametrize("tile", [1, 1024, 4096])
def test_no_bit_depends_on_the_tile(tile: int) -> None:
    a, b = directions(A), directions(B)
    some, other = neighbours(a, b, 5, tile=tile)["signed"], neighbours(a, b, 5)["signed"]
    for x, y in ((some.of_a, other.of_a), (some.of_b, other.of_b)):
        assert x.index.tobytes() == y.index.tobytes() and x.value.tobytes() == y.value.tobytes()


def test_more_neighbours_than_there_are() -> None:
    found = neighbours(directions(A[:6]), directions(B[:3]), 5)["signed"]
    assert (found.of_a.index[:, 3:] == -1).all() and np.isneginf(found.of_a.value[:, 3:]).all()
    assert np.sort(found.of_a.index[:, :3]).tolist() == [[0, 1, 2]] * 6
    check(found.of_b, C[:6, :3].T, 5)
    with pytest.raises(UserError, match="at least one nearest"):
        neighbours(directions(A), directions(B), 0)


@pytest.mark.parametrize("kind", ["signed", "abs"])
def test_net_of_prices(kind: Kind) -> None:
    price = RNG.uniform(0, 0.5, len(B))
    values = (np.abs(C) if kind == "abs" else C) - price
    check(nearest_net(directions(A), directions(B), price, 6, kind), values, 6)


def test_largest_abs() -> None:
    of_a, of_b = largest_abs(directions(A), directions(B))
    assert of_a == pytest.approx(np.abs(C).max(axis=1), abs=1e-6)
    assert of_b == pytest.approx(np.abs(C).max(axis=0), abs=1e-6)


@pytest.mark.parametrize("tile", [None, 1])
def test_own_largest_leaves_the_row_itself_out(tile: int | None) -> None:
    signed, size = own_largest(directions(A), tile)
    own = cosine(A, A)
    np.fill_diagonal(own, -np.inf)
    assert signed == pytest.approx(own.max(axis=1), abs=1e-6)
    np.fill_diagonal(own, 0)
    assert size == pytest.approx(np.abs(own).max(axis=1), abs=1e-6)
