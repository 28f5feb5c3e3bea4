"""Threads that each compute alone: torch starts no pool of its own in them, so that two pools never share the cores."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

Task = Callable[[int], None]


class Lanes:
    """`count` lanes of work. One lane is the calling thread itself; more are threads of their own.

    Args:
        count: lanes; by default as many as torch uses threads.
    """

    def __init__(self, count: int | None = None) -> None:
        self.threads = torch.get_num_threads()
        self.count = max(1, self.threads if count is None else count)
        self._pool: ThreadPoolExecutor | None = None

    def run(self, task: Task) -> None:
        """Call `task(lane)` in every lane and wait; the first error is raised."""
        if self.count == 1 and self.threads == 1:
            task(0)
            return
        self._pool = self._pool or self._opened()
        list(self._pool.map(task, range(self.count)))

    def _opened(self) -> ThreadPoolExecutor:
        pool, met = ThreadPoolExecutor(self.count, "husai-lane"), Barrier(self.count)
        list(pool.map(lambda _: _compute_alone(met), range(self.count)))
        torch.set_num_threads(self.threads)  # what the lanes set also became the default of new threads
        return pool

    def share(self, items: Iterable[int], task: Callable[[int, int], None]) -> None:
        """Call `task(lane, item)` for all items, dealt out in turn; a lane that is through takes from the others.

        A lane gets the same items first in every step, whose data are in its cache; a core that is busy elsewhere
        keeps nobody waiting.
        """
        todo = list(items)
        dealt = [deque(todo[lane :: self.count]) for lane in range(self.count)]
        self.run(lambda lane: _work(task, lane, dealt))


def _work(task: Callable[[int, int], None], lane: int, dealt: list[deque[int]]) -> None:
    for item in _left(dealt[lane].popleft):
        task(lane, item)
    for other in dealt:
        for item in _left(other.pop):
            task(lane, item)


def _left(take: Callable[[], int]) -> Iterator[int]:
    """What is left of a deal, until another lane has taken the last."""
    while True:
        try:
            item = take()
        except IndexError:
            return
        yield item


def _compute_alone(met: Barrier) -> None:
    torch.set_num_threads(1)
    met.wait()
