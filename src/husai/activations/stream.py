"""Seeded batches whose rows are a pure function of (root seed, seed, step): a resumed run needs the step only.

Rows are gathered and scaled by NumPy: torch computes nothing here, so a thread may gather without one of torch's pools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from husai.activations.cache import ActivationCache
from husai.activations.partition import partition
from husai.activations.permutation import Order, how, order_of
from husai.activations.scaling import Scaling
from husai.activations.supply import AHEAD
from husai.errors import UserError
from husai.seeds import Role, generator

if TYPE_CHECKING:
    import torch

IN_MEMORY_BYTES = 2 * 2**30
Fetch = Callable[[np.ndarray], np.ndarray]


class Batches:
    """Row numbers of every batch of S seeds.

    The order of a seed is the endless concatenation of epochs, each a fresh permutation of its rows (stream
    `batch_order`, seed, epoch); batch `t` is positions `t*B` to `(t+1)*B` of it, and may straddle epochs. What is kept
    is the sorted row numbers of each part (8 bytes a row), and for each order no more than `permutation` says.

    Args:
        n_rows: rows of the activations.
        batch: B.
        root: root seed.
        seeds: numbers of the seeds; what a seed gets does not depend on which others are asked for with it.
        shared_order: one order for all seeds.
        parts: deal the rows into this many disjoint parts; seed `i` of the study gets part `i mod parts`.
        pool: row numbers to use (default: all), e.g. the training side of `hold_out`.
        groups_N: group of each row [N]; a group is never in two parts.

    Raises:
        UserError: no rows, no seeds, or too few rows for the parts.
    """

    def __init__(
        self,
        n_rows: int,
        batch: int,
        root: int,
        seeds: Sequence[int],
        *,
        shared_order: bool = False,
        parts: int = 1,
        pool: np.ndarray | None = None,
        groups_N: np.ndarray | None = None,
    ) -> None:
        rows = np.arange(n_rows) if pool is None else np.asarray(pool, dtype=np.int64)
        if min(len(rows), batch, len(seeds), parts) < 1:
            raise UserError(f"batches need rows, seeds and parts: {len(rows)} rows, batch {batch}, {len(seeds)} seeds")
        if rows.min() < 0 or rows.max() >= n_rows or np.unique(rows).size != rows.size:
            raise UserError(f"the pool of rows must hold each number from 0 to {n_rows - 1} at most once")
        self.batch, self.root, self.seeds = batch, root, tuple(seeds)
        self.shared_order = shared_order
        self.parts = partition(rows, parts, root, None if groups_N is None else groups_N[rows])
        self._orders: dict[int | str, tuple[int, Order]] = {}

    @property
    def rows_per_epoch(self) -> int:
        """Rows that one seed sees before it sees one again."""
        return len(self.parts[0])

    @property
    def one_for_all(self) -> bool:
        """Whether all seeds get the same rows in the same order."""
        return self.shared_order and len(self.parts) == 1

    def epochs(self, steps: int) -> float:
        """Epochs that `steps` batches amount to."""
        return steps * self.batch / self.rows_per_epoch

    @property
    def how(self) -> str:
        """How the orders are made, for the record."""
        return how(self.rows_per_epoch)

    def rows_of(self, seed: int) -> np.ndarray:
        """Sorted row numbers that a seed may see."""
        return self.parts[seed % len(self.parts)]

    def indices(self, step: int) -> np.ndarray:
        """Row numbers [S, B] int64 of batch `step`; costs O(S*B), and what `permutation` says when an epoch begins."""
        if step < 0:
            raise IndexError(f"step {step} is negative")
        if self.shared_order:
            positions_B = self._positions("shared", step)
            return np.stack([self.rows_of(seed)[positions_B] for seed in self.seeds])
        return np.stack([self.rows_of(seed)[self._positions(seed, step)] for seed in self.seeds])

    def _positions(self, order: int | str, step: int) -> np.ndarray:
        """Positions [B] within the seed's part."""
        n = self.rows_per_epoch
        start, stop = step * self.batch, (step + 1) * self.batch
        pieces = []
        while start < stop:
            epoch, offset = divmod(start, n)
            piece = self._order(order, epoch).rows(offset, min(n, offset + stop - start))
            pieces.append(piece)
            start += len(piece)
        return np.concatenate(pieces)

    def _order(self, name: int | str, epoch: int) -> Order:
        """The epoch's permutation of one order (a seed's, or the shared one); the latest of each is kept."""
        if self._orders.get(name, (-1,))[0] != epoch:
            stream = generator(self.root, Role.BATCH_ORDER, name, epoch)
            self._orders[name] = (epoch, order_of(self.rows_per_epoch, stream))
        return self._orders[name][1]


class Feed:
    """Scaled rows of each batch as a torch tensor, from memory or from the memory map: the same bytes either way.

    Every shard of a map is read and checked once when the feed is made, so that no step waits for that.

    Raises:
        UserError: the scaling or the batches belong to rows of another shape; a damaged shard.
        Interrupted: a stop was asked for while shards were checked.
    """

    def __init__(
        self,
        rows: ActivationCache | np.ndarray,
        batches: Batches,
        scaling: Scaling | None = None,
        *,
        in_memory: bool | None = None,
    ) -> None:
        n, d_in = rows.shape
        self.scaling = scaling or Scaling.identity(d_in)
        self.batches = batches
        if len(self.scaling.mean_D) != d_in:
            raise UserError(f"the scaling is for d_in={len(self.scaling.mean_D)}, the rows have d_in={d_in}")
        if max(int(part[-1]) for part in batches.parts) >= n:
            raise UserError(
                f"the batches name rows beyond the {n} that there are: they were made for other activations"
            )
        fits = 4 * n * d_in <= IN_MEMORY_BYTES if in_memory is None else in_memory
        self.in_memory = fits or not isinstance(rows, ActivationCache)
        self._fetch = self._opened(rows)

    def _opened(self, rows: ActivationCache | np.ndarray) -> Fetch:
        if not isinstance(rows, ActivationCache):
            return _from_memory(self.scaling.apply(np.asarray(rows, dtype=np.float32)))
        if self.in_memory:
            return _from_memory(self.scaling.apply_(rows.to_array()))
        rows.verify()
        return _from_map(rows, self.scaling)

    @property
    def look_ahead(self) -> int:
        """Batches worth gathering ahead in a thread: from a map, where gathering waits for the disk.

        From memory it takes a few hundredths of a step, and a thread costs more of the processor than that.
        """
        return 0 if self.in_memory else AHEAD

    def batch(self, step: int) -> torch.Tensor:
        """Scaled rows [S, B, D] float32 of batch `step` (on the CPU)."""
        return self.take(self.batches.indices(step))

    def take(self, indices: np.ndarray) -> torch.Tensor:
        """Scaled rows [..., D] float32 with these numbers [...]."""
        import torch

        flat = np.ascontiguousarray(indices, dtype=np.int64).reshape(-1)
        return torch.from_numpy(self._fetch(flat).reshape(*indices.shape, -1))


def _from_memory(x_ND: np.ndarray) -> Fetch:
    """Gather rows that are scaled already."""
    return lambda indices: np.take(x_ND, indices, axis=0)


def _from_map(cache: ActivationCache, scaling: Scaling) -> Fetch:
    """Gather from the memory map, then scale: element by element, hence the same bits."""
    return lambda indices: scaling.apply_(cache.rows(indices))
