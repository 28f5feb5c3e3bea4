"""Rows of a batch as tensors: from memory, from the map, scaled; always the rows that the batch names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from husai.activations.scaling import Scaling
from husai.activations.stream import Batches, Feed
from husai.errors import UserError

ROWS = (3 + np.random.default_rng(0).standard_normal((300, 5))).astype(np.float32)


def test_batches_hold_the_rows_they_name(make_cache):
    batches = Batches(300, 70, 0, range(3))
    scaling = Scaling.fit(ROWS)
    for source, options in (
        (ROWS, {}),
        (make_cache(ROWS), {"in_memory": True}),
        (make_cache(ROWS, name="b"), {"in_memory": False}),
    ):
        feed = Feed(source, batches, scaling, **options)
        for step in (0, 4, 17):
            found = feed.batch(step)
            assert (found.shape, found.dtype) == ((3, 70, 5), torch.float32)
            assert np.array_equal(found.numpy(), scaling.apply(ROWS)[batches.indices(step)])


def test_without_scaling_rows_are_as_they_are():
    feed = Feed(ROWS, Batches(300, 4, 0, [0]))
    assert np.array_equal(feed.take(np.arange(300)).numpy(), ROWS)
    assert feed.take(np.array([[1, 2], [3, 4]])).shape == (2, 2, 5)


def test_a_batch_may_be_changed_without_harm(make_cache):
    for source in (ROWS, make_cache(ROWS)):
        feed = Feed(source, Batches(300, 4, 0, [0]))
        before = feed.batch(3).clone()
        feed.batch(3).zero_()
        assert torch.equal(feed.batch(3), before)


def test_large_activations_stay_on_disk(make_cache, monkeypatch):
    cache = make_cache(ROWS)
    monkeypatch.setattr("husai.activations.stream.IN_MEMORY_BYTES", 4 * 300 * 5 - 1)
    monkeypatch.setattr(type(cache), "to_array", lambda self: pytest.fail("loaded everything"))
    feed = Feed(cache, Batches(300, 4, 0, [0]))
    assert feed.batch(0).shape == (1, 4, 5)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(UserError, match=r"d_in=4.*d_in=5"):
        Feed(ROWS, Batches(300, 4, 0, [0]), Scaling.identity(4))
    with pytest.raises(UserError, match="made for other activations"):
        Feed(ROWS, Batches(301, 4, 0, [0]))
