"""Lanes of work: every item is done once, by whoever is free, and an error reaches the caller."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from husai.training.engines.threads import Lanes


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("items", [0, 1, 2, 7])
def test_every_item_is_done_once(count: int, items: int) -> None:
    done: list[tuple[int, int]] = []
    Lanes(count).share(range(items), lambda lane, item: done.append((lane, item)))
    assert Counter(item for _, item in done) == Counter(range(items))
    assert all(0 <= lane < count for lane, _ in done)


def test_a_lane_that_is_held_up_keeps_nobody_waiting() -> None:
    """Lane 0 holds its first item until all others are done: they must have gone to lane 1, its own first."""
    rest, done = threading.Event(), []

    def task(lane: int, item: int) -> None:
        if item == 0:
            assert rest.wait(20), "nobody took over what the busy lane had before it"
            return
        done.append((lane, item))
        if len(done) == 5:
            rest.set()

    Lanes(2).share(range(6), task)
    assert done == [(1, 1), (1, 3), (1, 5), (1, 4), (1, 2)]


@pytest.mark.parametrize("error", [ValueError, IndexError])
@pytest.mark.parametrize("count", [1, 2])
def test_an_error_reaches_the_caller(error: type[Exception], count: int) -> None:
    def task(lane: int, item: int) -> None:
        if item == 3:
            raise error("of the work itself")

    with pytest.raises(error, match="of the work itself"):
        Lanes(count).share(range(5), task)
