"""A step's work as a CUDA graph, so that launching its many kernels costs next to nothing; and who may be dead."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Replay:
    """Work of fixed places and shapes. As a graph: done plainly once, which compiles it; recorded; then replayed."""

    def __init__(self, work: Callable[[], None], as_graph: bool) -> None:
        self.work, self.as_graph, self.warm = work, as_graph, False
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do it, in the order of the current stream."""
        if not self.as_graph or not self.warm:
            self.work()
            self.warm = True
            return
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):  # others may load rows
                self.work()
        self.graph.replay()


class DeadWatch:
    """From how many rows on a latent may be dead, so that steps before need not ask.

    A latent that last fired at row r is not dead before r + dead_after. The smallest r is read from the device now and
    then, without waiting for it: an old one is only too small. What a step computes does not depend on the answer.
    """

    LOOK_EVERY = 16

    def __init__(self, last_fired: list[Tensor], dead_after: int) -> None:
        self.last_fired, self.dead_after = last_fired, dead_after
        self.on_device = last_fired[0].is_cuda
        self.safe = self._lowest().item() + dead_after
        self.landing = torch.zeros((), dtype=torch.int64, pin_memory=self.on_device)
        self.event: torch.cuda.Event | None = None

    def may_be_dead(self, step: int, rows: int) -> bool:
        """Whether a latent may count as dead after `step` steps and `rows` rows."""
        if self.event is not None and self.event.query():
            self.safe, self.event = int(self.landing) + self.dead_after, None
        if rows < self.safe:
            return False
        if not self.on_device:
            self.safe = self._lowest().item() + self.dead_after
        elif self.event is None and step % self.LOOK_EVERY == 0:
            self.landing.copy_(self._lowest(), non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record()
        return rows >= self.safe

    def _lowest(self) -> Tensor:
        return torch.stack([last_F.min() for last_F in self.last_fired]).min()
