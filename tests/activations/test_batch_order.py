"""Batches are a pure function of (root, seed, step); every epoch is a permutation; seeds do not depend on company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.activations.stream import Batches
from husai.errors import UserError
from husai.seeds import Role, generator

OPTIONS = {
    "n_rows": st.integers(1, 60),
    "batch": st.integers(1, 150),
    "root": st.integers(0, 5),
    "shared_order": st.booleans(),
    "parts": st.integers(1, 4),
}


def build(n_rows: int, batch: int, root: int, seeds: list[int], shared_order: bool, parts: int) -> Batches:
    return Batches(max(n_rows, parts), batch, root, seeds, shared_order=shared_order, parts=parts)


@settings(max_examples=80, deadline=None)
@given(**OPTIONS, epochs=st.integers(1, 4))
def test_each_epoch_covers_every_row_of_the_seed_once(n_rows, batch, root, shared_order, parts, epochs):
    batches = build(n_rows, batch, root, [0, 1, 2, 3], shared_order, parts)
    n = batches.rows_per_epoch
    steps = -(-epochs * n // batch)
    seen = np.concatenate([batches.indices(step) for step in range(steps)], axis=1)
    assert seen.dtype == np.int64
    for number, seed in enumerate(batches.seeds):
        for epoch in range(epochs):
            assert np.array_equal(np.sort(seen[number, epoch * n : (epoch + 1) * n]), batches.rows_of(seed))


@settings(max_examples=80, deadline=None)
@given(**OPTIONS, wanted=st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_any_step_can_be_asked_for_in_any_order(n_rows, batch, root, shared_order, parts, wanted):
    seeds = [0, 5, 2]
    sequential = build(n_rows, batch, root, seeds, shared_order, parts)
    in_order = [sequential.indices(step) for step in range(31)]
    jumping = build(n_rows, batch, root, seeds, shared_order, parts)
    for step in wanted:
        assert np.array_equal(jumping.indices(step), in_order[step])
        assert np.array_equal(build(n_rows, batch, root, seeds, shared_order, parts).indices(step), in_order[step])


@settings(max_examples=80, deadline=None)
@given(**OPTIONS, step=st.integers(0, 30), seed=st.integers(0, 4))
def test_a_seed_alone_gets_what_it_gets_in_the_group(n_rows, batch, root, shared_order, parts, step, seed):
    group = build(n_rows, batch, root, [0, 1, 2, 3, 4], shared_order, parts)
    alone = build(n_rows, batch, root, [seed], shared_order, parts)
    assert np.array_equal(alone.indices(step)[0], group.indices(step)[seed])


def test_the_order_is_the_concatenation_of_named_permutations():
    batches = Batches(10, 7, 3, [0, 1])
    stream = np.concatenate([generator(3, Role.BATCH_ORDER, 1, epoch).permutation(10) for epoch in range(3)])
    for step in range(4):
        assert np.array_equal(batches.indices(step)[1], stream[7 * step : 7 * step + 7])


def test_seeds_differ_unless_the_order_is_shared():
    own = Batches(1000, 500, 0, range(3)).indices(0)
    assert len({row.tobytes() for row in own}) == 3
    shared = Batches(1000, 500, 0, range(3), shared_order=True)
    assert len({row.tobytes() for row in shared.indices(0)}) == 1
    assert shared.one_for_all
    assert not Batches(1000, 500, 0, range(3), shared_order=True, parts=2).one_for_all
    assert not np.array_equal(own[0], Batches(1000, 500, 1, range(3)).indices(0)[0])
    assert not np.array_equal(own[0], Batches(1000, 500, 0, range(3)).indices(2)[0])


def test_parts_share_no_row_and_halves_go_round():
    batches = Batches(101, 20, 0, range(4), parts=4)
    seen = [set(np.concatenate([batches.indices(s)[i] for s in range(5)]).tolist()) for i in range(4)]
    assert all(len(s) == 25 for s in seen)
    assert len(set.union(*seen)) == 100
    halves = Batches(100, 10, 0, range(4), parts=2)
    assert np.array_equal(halves.rows_of(0), halves.rows_of(2))
    assert not set(halves.rows_of(0)) & set(halves.rows_of(3))
    assert not np.array_equal(halves.indices(0)[0], halves.indices(0)[2])


def test_only_rows_of_the_pool_are_used():
    pool = np.array([90, 3, 17, 55, 4])
    batches = Batches(100, 2, 0, [0], pool=pool)
    assert batches.rows_per_epoch == 5
    assert batches.epochs(10) == 4.0
    seen = np.concatenate([batches.indices(s)[0] for s in range(5)])
    assert np.array_equal(np.sort(seen[:5]), np.sort(pool))
    assert np.array_equal(np.sort(seen[5:]), np.sort(pool))


def test_groups_stay_in_one_part():
    groups = np.repeat(np.arange(20), 5)
    batches = Batches(100, 10, 0, range(2), parts=2, groups_N=groups)
    sides = [set(groups[batches.rows_of(seed)].tolist()) for seed in (0, 1)]
    assert not sides[0] & sides[1]
    assert batches.rows_per_epoch == 50


def test_one_permutation_per_epoch_is_drawn(monkeypatch):
    drawn = []

    def counting(root, role, *index):
        drawn.append(index)
        return generator(root, role, *index)

    monkeypatch.setattr("husai.activations.stream.generator", counting)
    batches = Batches(1000, 300, 0, range(3), shared_order=True)
    for step in range(10):
        batches.indices(step)
    assert len(drawn) == 3
    drawn.clear()
    batches = Batches(1000, 300, 0, range(3))
    for step in range(10):
        batches.indices(step)
    assert len(drawn) == 9


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_rows": 0},
        {"batch": 0},
        {"seeds": []},
        {"parts": 0},
        {"parts": 11},
        {"pool": np.array([0, 0])},
        {"pool": np.array([10])},
        {"pool": np.array([-1])},
    ],
)
def test_impossible_batches_are_refused(wrong):
    with pytest.raises(UserError):
        Batches(**({"n_rows": 10, "batch": 2, "root": 0, "seeds": [0]} | wrong))
    with pytest.raises(IndexError):
        Batches(10, 2, 0, [0]).indices(-1)
