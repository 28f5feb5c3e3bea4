"""Batches in the order of the steps, the next ones gathered in a thread of their own; the time spent waiting is kept.

A batch is a pure function of its step, so that looking ahead changes no bit and nothing of it needs to be saved.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch import Tensor

BatchAt = Callable[[int], "Tensor"]
LabelsAt = Callable[[int], "Tensor"]  # of the rows of a step's batch: labels [S, B] int64, -1 where there is none
AHEAD = 2


@dataclass
class Spent:
    """Seconds between the first batch asked for and the last step, and those of them spent waiting for batches."""

    seconds: float = 0.0
    waiting: float = 0.0

    @property
    def share(self) -> float:
        """Share of the time spent waiting; 0 when no time was spent."""
        return self.waiting / self.seconds if self.seconds > 0 else 0.0


class Supply:
    """Batches of the steps `first` to `last` (not included), each asked for once and in order.

    Use it in a `with` block: its thread ends with it, however the block is left. An error of `batch_at` in the thread
    is raised where its batch is asked for.

    Args:
        ahead: batches that may be gathered before they are asked for; 0 gathers each when it is asked for.
        spent: where the time goes that passes in the block.
    """

    def __init__(
        self, batch_at: BatchAt, first: int, last: int, ahead: int = AHEAD, spent: Spent | None = None
    ) -> None:
        self.batch_at, self.next, self.last, self.ahead = batch_at, first, last, ahead
        self.spent = Spent() if spent is None else spent
        self._coming: deque[Future[Tensor]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Begin to gather, and start the clock."""
        self._begun = time.perf_counter()
        if self.ahead and self.next < self.last:
            self._pool = ThreadPoolExecutor(1, "husai-supply")
            self._look_ahead(self._pool)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Drop what nobody asked for, and wait for the batch in hand: a moment."""
        self.spent.seconds += time.perf_counter() - self._begun
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self) -> Tensor:
        """The batch of the next step.

        Raises:
            UserError: what `batch_at` says.
        """
        begun = time.perf_counter()
        found = self.batch_at(self.next) if self._pool is None else self._coming.popleft().result()
        self.spent.waiting += time.perf_counter() - begun
        self.next += 1
        if self._pool is not None:
            self._look_ahead(self._pool)
        return found

    def _look_ahead(self, pool: ThreadPoolExecutor) -> None:
        for step in range(self.next + len(self._coming), min(self.next + self.ahead, self.last)):
            self._coming.append(pool.submit(self.batch_at, step))
