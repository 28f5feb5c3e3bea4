"""Dealing rows out: disjoint, equal, together with their group, and a function of the root seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.activations.partition import hold_out, partition
from husai.errors import UserError


@settings(max_examples=60, deadline=None)
@given(n=st.integers(4, 80), parts=st.integers(1, 4), seed=st.integers(0, 9), grouped=st.booleans(), data=st.data())
def test_parts_are_disjoint_equal_and_within_the_pool(n, parts, seed, grouped, data):
    pool = np.random.default_rng(seed).permutation(200)[:n]
    groups = None
    if grouped:
        groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)))
        if np.unique(groups).size < parts:
            with pytest.raises(UserError, match="groups of rows cannot be dealt"):
                partition(pool, parts, seed, groups)
            return
    found = partition(pool, parts, seed, groups)
    assert len({len(part) for part in found}) == 1
    everything = np.concatenate(found)
    assert np.unique(everything).size == everything.size
    assert np.isin(everything, pool).all()
    assert all(np.array_equal(part, np.sort(part)) for part in found)
    if groups is None:
        assert everything.size > n - parts
    else:
        group_of = dict(zip(pool.tolist(), groups.tolist(), strict=True))
        sides = [{group_of[row] for row in part.tolist()} for part in found]
        assert sum(len(side) for side in sides) == len(set.union(*sides))
    assert all(np.array_equal(a, b) for a, b in zip(found, partition(pool, parts, seed, groups), strict=True))


def test_the_seed_decides_who_gets_what():
    pool = np.arange(100)
    assert not np.array_equal(partition(pool, 2, 0)[0], partition(pool, 2, 1)[0])


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 100), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_held_out_rows_are_the_rest(n, share, seed):
    if not 0 < round(share * n) < n:
        with pytest.raises(UserError, match="one side empty"):
            hold_out(n, share, seed)
        return
    train, test = hold_out(n, share, seed)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(n))
    assert len(test) == round(share * n)


def test_held_out_groups_are_whole():
    groups = np.random.default_rng(0).integers(0, 12, 200)
    train, test = hold_out(200, 0.25, 3, groups)
    assert not set(groups[train]) & set(groups[test])
    assert len(set(groups[test])) == 3
    with pytest.raises(UserError, match="one side empty"):
        hold_out(200, 0.5, 0, np.zeros(200))
