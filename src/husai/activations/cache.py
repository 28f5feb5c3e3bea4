"""A finished folder of activations: read through memory maps, each shard checked by hash when it is first touched.

<folder>/shard-00000.safetensors ...   rows [n, D] float32; int64 columns [n]: tokens, positions, examples
<folder>/statistics.safetensors        mean_D, covariance_DD (float64)
<folder>/labels-<name>.safetensors     a label of each row, where rows have any: see `labels.py`
<folder>/manifest.json                 written last: without it the folder was never finished
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from husai.activations.labels import RowLabels, read_labels
from husai.activations.manifest import STATISTICS, Manifest, read_manifest
from husai.activations.shard import ShardSet
from husai.errors import UserError
from husai.events import check_stop
from husai.store.files import sha256
from husai.store.tensors import Arrays, load_arrays


class ActivationCache:
    """Rows [N, D] float32 on disk. Opening reads the manifest and the sizes of the shards, nothing else.

    Raises:
        UserError: no or a damaged manifest, a missing shard, a shard of the wrong size; later, when a damaged shard or
            the damaged statistics are first read. The message names the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self._shards = ShardSet(self.folder, self.manifest.shards, self.manifest.d_in, self.manifest.columns)

    def __len__(self) -> int:
        return self.manifest.n_rows

    @property
    def d_in(self) -> int:
        """Width D of a row."""
        return self.manifest.d_in

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return self.manifest.n_rows, self.manifest.d_in

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Rows [n, D] by number, in the order asked for; only their pages are read."""
        return self._shards.pick(indices)

    def column(self, name: str, indices: np.ndarray | None = None) -> np.ndarray:
        """Column [n] int64: `tokens` (ids), `positions` (in the sequence) or `examples` (row of the task).

        Raises:
            UserError: these activations have no such column.
        """
        if name not in self.manifest.columns:
            held = ", ".join(self.manifest.columns) or "none"
            raise UserError(
                f"{self.folder} holds no column '{name}' (held: {held}): capture it from a model and a task"
            )
        return self._shards.pick(np.arange(len(self)) if indices is None else indices, name)

    def labels(self, name: str) -> RowLabels:
        """What is known of each row under this name.

        Raises:
            UserError: these rows carry no such label, or its file is damaged.
        """
        return read_labels(self.folder, self.manifest, name)

    def block(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` (not included) [n, D]; a read-only view where one shard holds them all."""
        return self._shards.block(start, stop)

    def blocks(self, size: int = 4096) -> Iterator[np.ndarray]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.block(start, min(start + size, len(self)))

    def to_array(self) -> np.ndarray:
        """All rows [N, D] in memory."""
        return np.array(self.block(0, len(self)))

    @property
    def mean_D(self) -> np.ndarray:
        """Mean row [D], float64."""
        return self._statistics["mean_D"]

    @property
    def covariance_DD(self) -> np.ndarray:
        """Population covariance [D, D], float64.

        Raises:
            UserError: the rows are too wide for it to be stored.
        """
        if "covariance_DD" not in self._statistics:
            raise UserError(f"{self.folder} holds no covariance: its rows are too wide (d_in={self.d_in})")
        return self._statistics["covariance_DD"]

    def verify(self) -> None:
        """Read everything once and check every hash.

        Raises:
            UserError: names the first damaged file.
            Interrupted: a stop was asked for.
        """
        for number in range(len(self.manifest.shards)):
            check_stop()
            self._shards.arrays(number)
        for entry in self.manifest.labels:
            self.labels(entry.name)
        _ = self._statistics

    @cached_property
    def _statistics(self) -> Arrays:
        path = self.folder / STATISTICS
        arrays = load_arrays(path)
        if sha256(path) != self.manifest.statistics_sha256:
            raise UserError(f"{path} was changed after it was written (its SHA-256 disagrees): make it again")
        return arrays
