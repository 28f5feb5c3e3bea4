"""Shards: safetensors files with `rows` [n, D] float32 and int64 columns [n]; read by mapping, checked by hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from husai.activations.manifest import Shard
from husai.errors import UserError
from husai.store.files import sha256
from husai.store.tensors import Arrays, save_arrays

ROWS = "rows"
_DTYPES = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


def shard_name(number: int) -> str:
    """File name of shard `number`."""
    return f"shard-{number:05d}.safetensors"


def write_shard(folder: Path, number: int, arrays: Mapping[str, np.ndarray], marks: Mapping[str, str]) -> Shard:
    """Write one whole shard; `arrays` holds `rows` [n, D] and columns [n], `marks` the text of its header."""
    path = save_arrays(folder / shard_name(number), arrays, marks)
    return Shard(file=path.name, rows=len(arrays[ROWS]), bytes=path.stat().st_size, sha256=sha256(path))


def check_present(folder: Path, shard: Shard) -> None:
    """Cheap check without reading.

    Raises:
        UserError: the shard is missing, or is longer or shorter than it was.
    """
    path = folder / shard.file
    if not path.is_file():
        raise UserError(f"{path} is missing: make the activations again")
    size = path.stat().st_size
    if size != shard.bytes:
        raise UserError(f"{path} has {size} bytes instead of {shard.bytes}: truncated or changed, make it again")


def map_shard(folder: Path, shard: Shard, d_in: int, columns: tuple[str, ...]) -> Arrays:
    """Memory-map the arrays of a shard after checking its hash; nothing is copied.

    Raises:
        UserError: missing, truncated, changed, or not of the shapes that the manifest promises.
    """
    check_present(folder, shard)
    path = folder / shard.file
    try:
        if sha256(path) != shard.sha256:
            raise UserError(f"{path} was changed after it was written (its SHA-256 disagrees): make it again")
        arrays = _map(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): check the disk and its rights") from None
    _check_shapes(path, arrays, shard, d_in, columns)
    return arrays


def _map(path: Path) -> Arrays:
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        try:
            header = json.loads(handle.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            return {name: _view(path, 8 + length, entry) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
            raise UserError(f"{path} is not a whole safetensors file: make it again") from None


def _view(path: Path, start: int, entry: dict[str, Any]) -> np.ndarray:
    dtype = _DTYPES[str(entry["dtype"])]
    begin, _ = entry["data_offsets"]
    return np.memmap(path, dtype=dtype, mode="r", offset=start + begin, shape=tuple(entry["shape"]))


def _check_shapes(path: Path, arrays: Arrays, shard: Shard, d_in: int, columns: tuple[str, ...]) -> None:
    expected = {ROWS: (shard.rows, d_in)} | dict.fromkeys(columns, (shard.rows,))
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        raise UserError(f"{path} holds {found} where the manifest promises {expected}: make it again")


class ShardSet:
    """Several shards read as one. A shard is checked and mapped when it is first touched.

    Raises:
        UserError: at once for a missing shard or one of the wrong size, at first touch for a changed one.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard], d_in: int, columns: tuple[str, ...]) -> None:
        for shard in shards:
            check_present(folder, shard)
        self.folder, self.shards, self.d_in, self.columns = folder, shards, d_in, columns
        self.ends = np.cumsum([shard.rows for shard in shards], dtype=np.int64)
        self._maps: dict[int, Arrays] = {}

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.shards else 0

    def arrays(self, number: int) -> Arrays:
        """Mapped arrays of shard `number`."""
        if number not in self._maps:
            self._maps[number] = map_shard(self.folder, self.shards[number], self.d_in, self.columns)
        return self._maps[number]

    def begin(self, number: int) -> int:
        """Number of the first row of shard `number`."""
        return int(self.ends[number]) - self.shards[number].rows

    def block(self, start: int, stop: int, name: str = ROWS) -> np.ndarray:
        """Rows (or a column) from `start` to `stop`, not included; a read-only view where one shard holds them all."""
        if not 0 <= start < stop <= len(self):
            raise IndexError(f"rows {start} to {stop} are not within 0 to {len(self)}")
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right")
        parts = [
            self.arrays(number)[name][max(0, start - self.begin(number)) : stop - self.begin(number)]
            for number in range(int(first), int(last) + 1)
        ]
        return np.asarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)

    def pick(self, indices: np.ndarray, name: str = ROWS) -> np.ndarray:
        """Copy of the rows (or entries of a column) with these numbers, in this order."""
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"row numbers must be from 0 to {len(self) - 1}")
        is_rows = name == ROWS
        out = np.empty((len(wanted), self.d_in) if is_rows else len(wanted), dtype=np.float32 if is_rows else np.int64)
        shard_N = np.searchsorted(self.ends, wanted, side="right")
        for number in np.unique(shard_N):
            here = np.flatnonzero(shard_N == number)
            out[here] = self.arrays(int(number))[name][wanted[here] - self.begin(int(number))]
        return out
