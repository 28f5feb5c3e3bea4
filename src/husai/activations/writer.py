"""`ShardWriter`: append blocks of rows, get whole shards, and a manifest that is written last."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from husai.activations.cache import ActivationCache
from husai.activations.describe import Description, check_finite, describe
from husai.activations.labels import RowLabels, write_labels
from husai.activations.manifest import (
    MANIFEST,
    STATISTICS,
    LabelFile,
    Manifest,
    Origin,
    Shard,
    TokenStatistics,
)
from husai.activations.shard import ROWS, ShardSet, write_shard
from husai.activations.uniqueness import token_statistics
from husai.errors import UserError
from husai.store.files import disk_errors, make_folder, sha256
from husai.store.tensors import save_arrays

TARGET_BYTES = 64 * 2**20
COLUMNS = ("tokens", "positions", "examples")


class ShardWriter:
    """Writes a folder of activations; use it as a context manager or call `close`.

    Rows may arrive in blocks of any size. A folder becomes readable when `close` has written the manifest; one that
    was killed before holds no manifest, and the next writer starts over in it.

    Raises:
        UserError: the folder already holds finished activations, or cannot be written.
    """

    def __init__(self, folder: Path, d_in: int, origin: Origin, *, shard_rows: int | None = None) -> None:
        self.folder = make_folder(Path(folder))
        self.d_in = d_in
        self.origin = origin
        self.shard_rows = shard_rows or max(1, TARGET_BYTES // (4 * d_in))
        self._columns: tuple[str, ...] | None = None
        self._pending: list[dict[str, np.ndarray]] = []
        self._pending_rows = 0
        self._shards: list[Shard] = []
        self._n_rows = 0
        if (self.folder / MANIFEST).exists():
            raise UserError(f"{self.folder} already holds activations: choose another folder, or remove it first")
        for stale in self.folder.glob("shard-*.safetensors"):
            with disk_errors(stale):
                stale.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close when all went well; after an error the folder stays unfinished."""
        if kind is None and not (self.folder / MANIFEST).exists():
            self.close()

    def append(self, rows_ND: np.ndarray, **columns_N: np.ndarray) -> None:
        """Add rows [n, D] float32 and, in every call or in none, columns `tokens`, `positions`, `examples` [n] int64.

        Raises:
            UserError: wrong shape or dtype, NaN or infinity (names the row), or other columns than before.
        """
        self._check(rows_ND, columns_N)
        check_finite(rows_ND, self._n_rows)
        arrays = {ROWS: np.array(rows_ND, copy=True)}  # the caller may use its buffer again
        arrays |= {name: np.array(column, dtype=np.int64) for name, column in columns_N.items()}
        self._pending.append(arrays)
        self._pending_rows += len(rows_ND)
        self._n_rows += len(rows_ND)
        if self._pending_rows >= self.shard_rows:
            self._flush()

    def close(self, labels: RowLabels | None = None) -> ActivationCache:
        """Write what is left, the statistics, labels and, last, the manifest; returns the opened cache.

        Raises:
            UserError: fewer than two rows, or constant rows; another number of labels than of rows.
        """
        if labels is not None and len(labels.labels_N) != self._n_rows:
            raise UserError(f"label {labels.name}: {len(labels.labels_N)} labels for {self._n_rows} rows")
        self._flush(everything=True)
        written = ShardSet(self.folder, self._shards, self.d_in, self._columns or ())
        description = describe(written.block, self._n_rows, self.d_in, self._column(written, "positions"))
        arrays = {"mean_D": description.mean_D}
        if description.covariance_DD is not None:
            arrays["covariance_DD"] = description.covariance_DD
        path = save_arrays(self.folder / STATISTICS, arrays)
        files = () if labels is None else (write_labels(self.folder, labels),)
        self._manifest(description, self._tokens(written, description), sha256(path), files).write(self.folder)
        return ActivationCache(self.folder)

    def _manifest(
        self, found: Description, tokens: TokenStatistics | None, statistics_sha256: str, labels: tuple[LabelFile, ...]
    ) -> Manifest:
        return Manifest(
            origin=self.origin,
            n_rows=self._n_rows,
            d_in=self.d_in,
            columns=self._columns or (),
            shards=tuple(self._shards),
            rows_sha256=found.rows_sha256,
            statistics_sha256=statistics_sha256,
            mean_square_norm=found.mean_square_norm,
            variance=found.variance,
            hook_variances=self._hook_variances(found.variance_D),
            excess_kurtosis=found.excess_kurtosis,
            effective_rank=found.effective_rank,
            participation_ratio=found.participation_ratio,
            rows=found.rows,
            norms=found.norms,
            tokens=tokens,
            labels=labels,
        )

    def _hook_variances(self, variance_D: np.ndarray) -> tuple[float, ...]:
        """Sums over the columns of each hook.

        Raises:
            UserError: a hook whose columns do not vary.
        """
        ends = np.cumsum([hook.width for hook in self.origin.hooks], dtype=int)
        parts = np.split(variance_D, ends[:-1]) if len(ends) else []
        for hook, part in zip(self.origin.hooks, parts, strict=True):
            if not part.sum() > 0:
                raise UserError(f"the activations at {hook.hook_name} are constant: choose another hook")
        return tuple(float(part.sum()) for part in parts)

    def _check(self, rows_ND: np.ndarray, columns_N: dict[str, np.ndarray]) -> None:
        if rows_ND.ndim != 2 or rows_ND.shape[1] != self.d_in or rows_ND.dtype != np.float32:
            raise UserError(
                f"activation rows must be float32 [n, {self.d_in}], not {rows_ND.dtype} {list(rows_ND.shape)}"
            )
        for name, column in columns_N.items():
            if name not in COLUMNS or column.shape != (len(rows_ND),):
                raise UserError(f"column '{name}' must be one of {', '.join(COLUMNS)}, with one entry for each row")
        names = tuple(sorted(columns_N))
        if self._columns not in (None, names):
            raise UserError(f"columns changed from {self._columns} to {names}: give the same ones with every block")
        self._columns = names

    def _tokens(self, written: ShardSet, found: Description) -> TokenStatistics | None:
        tokens_N, positions_N = self._column(written, "tokens"), self._column(written, "positions")
        if tokens_N is None or positions_N is None:
            return None
        return token_statistics(tokens_N, positions_N, found.near_hashes_N)

    def _column(self, written: ShardSet, name: str) -> np.ndarray | None:
        return written.block(0, self._n_rows, name) if name in written.columns and self._n_rows else None

    def _flush(self, everything: bool = False) -> None:
        """Write the pending rows as shards of `shard_rows` rows; keep the rest, unless `everything` is to go."""
        if not self._pending:
            return
        whole = {name: np.concatenate([block[name] for block in self._pending]) for name in self._pending[0]}
        start, n = 0, len(whole[ROWS])
        while n - start >= self.shard_rows or (everything and start < n):
            part = {name: array[start : start + self.shard_rows] for name, array in whole.items()}
            self._shards.append(write_shard(self.folder, len(self._shards), part, self.origin.marks()))
            start += len(part[ROWS])
        self._pending = [{name: array[start:].copy() for name, array in whole.items()}] if start < n else []
        self._pending_rows = n - start


def write_rows(
    folder: Path,
    rows_ND: np.ndarray,
    origin: Origin,
    *,
    shard_rows: int | None = None,
    labels: RowLabels | None = None,
) -> ActivationCache:
    """Write rows [N, D] that are in memory (planted, surrogate) as a cache."""
    rows = np.asarray(rows_ND, dtype=np.float32)
    writer = ShardWriter(folder, rows.shape[1], origin, shard_rows=shard_rows)
    writer.append(rows)
    return writer.close(labels)
