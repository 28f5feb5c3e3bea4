"""The rows of an activations node as an SAE sees them: scaling, training and held-out sides, warnings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from husai.activations.cache import ActivationCache
from husai.activations.partition import hold_out, partition
from husai.activations.scaling import Scaling
from husai.activations.strata import cache_strata
from husai.activations.stream import Batches, Feed
from husai.activations.supply import LabelsAt
from husai.errors import UserError
from husai.seeds import Role
from husai.store.tensors import load_arrays
from husai.training.config import TrainingConfig

START_PARTS = 16  # disjoint parts of the training rows for seeds that start from rows


def check_starts(seeds: tuple[int, ...]) -> None:
    """Whether each of these seeds has a part of the training rows to start from.

    Raises:
        UserError: two seeds would have the same part.
    """
    if len({seed % START_PARTS for seed in seeds}) < len(seeds):
        raise UserError(f"at most {START_PARTS} seeds in a row can start from rows of their own: use fewer seeds")


@dataclass(frozen=True)
class Rows:
    """An opened activations folder, split for a training config."""

    cache: ActivationCache
    scaling: Scaling
    train_index: np.ndarray
    held_out_index: np.ndarray
    groups_N: np.ndarray | None

    @property
    def different(self) -> int:
        """At most so many different rows are trained on; copies that are grouped stay on one side."""
        different, n = self.cache.manifest.rows.near_unique, len(self.cache)
        share = len(self.train_index) / n
        return min(different, len(self.train_index)) if self.groups_N is None else round(share * different)

    def feed(self, training: TrainingConfig, seeds: tuple[int, ...], root: int, parts: int) -> Feed:
        """Scaled batches [S, B, D] as a pure function of the step; `parts` disjoint parts where data are not shared."""
        return Feed(self.cache, self._batches(training, seeds, root, parts), self.scaling)

    def labels_at(
        self, learned_N: np.ndarray, training: TrainingConfig, seeds: tuple[int, ...], root: int, parts: int
    ) -> LabelsAt:
        """Labels [S, B] of the rows that `feed` gives at a step.

        The orders are made again: those of the feed may be in use by the thread that looks ahead.
        """
        batches = self._batches(training, seeds, root, parts)
        return lambda step: torch.from_numpy(learned_N[batches.indices(step)])

    def _batches(self, training: TrainingConfig, seeds: tuple[int, ...], root: int, parts: int) -> Batches:
        return Batches(
            len(self.cache),
            training.batch,
            root,
            seeds,
            shared_order=Role.BATCH_ORDER not in training.vary,
            parts=parts,
            pool=self.train_index,
            groups_N=self.groups_N,
        )

    def start_rows(self, seeds: tuple[int, ...], root: int) -> Callable[[int], Tensor]:
        """Scaled rows [N, D] for a seed to start from: a part of the training rows that no other of `seeds` has.

        The part follows from the seed alone, so that a seed starts the same in a stack or by itself.

        Raises:
            UserError: two seeds would have the same part.
        """
        check_starts(seeds)
        groups = None if self.groups_N is None else self.groups_N[self.train_index]
        parts = partition(self.train_index, START_PARTS, root, groups)
        return lambda seed: torch.from_numpy(self.scaling.apply(self.cache.rows(parts[seed % START_PARTS])))

    def held_out(self) -> Tensor:
        """Held-out rows [N, D] in the units of the activations (all rows when none were held out)."""
        return torch.from_numpy(self.cache.rows(self.held_out_index))

    def strata(self) -> dict[str, np.ndarray]:
        """[N] bool over the held-out rows, by name: without norm outliers, without the first position ..."""
        return cache_strata(self.cache, self.held_out_index)

    def residues(self, labels_N: np.ndarray) -> np.ndarray:
        """Labels of the task for every row of the cache."""
        return labels_N[self.cache.column("examples")]


def open_rows(folder: Path, training: TrainingConfig, root: int) -> Rows:
    """Open the folder of an activations node; the split depends on the root seed, never on the seed of an SAE."""
    cache = ActivationCache(folder / "rows")
    groups = _groups(folder, cache)
    everything = np.arange(len(cache))
    sides = (everything, everything)
    if training.held_out > 0:
        sides = hold_out(len(cache), training.held_out, root, groups)
    return Rows(cache, Scaling.of(cache), *sides, groups)


def _groups(folder: Path, cache: ActivationCache) -> np.ndarray | None:
    path = folder / "groups.safetensors"
    if not path.exists():
        return None
    return load_arrays(path)["groups_N"][cache.column("examples")]
