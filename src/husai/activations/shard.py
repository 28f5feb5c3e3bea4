"""Shards: safetensors files with `rows` [n, D] float32 and int64 columns [n]; read by mapping, checked by hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from husai.activations.manifest import Shard
from husai.activations.mapping import Mapped, allow_files
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


@dataclass(frozen=True, eq=False)
class OpenShard:
    """Mapped arrays of one shard, and where its rows begin in the file."""

    file: Mapped
    arrays: Arrays
    rows_begin: int

    def announce(self, rows: np.ndarray) -> None:
        """Have the system read these rows [n] of the shard, all at once."""
        self.file.announce(self.rows_begin, self.arrays[ROWS].strides[0], rows)


def map_shard(folder: Path, shard: Shard, d_in: int, columns: tuple[str, ...]) -> OpenShard:
    """Memory-map the arrays of a shard after checking its hash; nothing is copied.

    Raises:
        UserError: missing, truncated, changed, or not of the shapes that the manifest promises.
    """
    check_present(folder, shard)
    path = folder / shard.file
    try:
        if sha256(path) != shard.sha256:
            raise UserError(f"{path} was changed after it was written (its SHA-256 disagrees): make it again")
        opened = _map(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): check the disk and its rights") from None
    _check_shapes(path, opened.arrays, shard, d_in, columns)
    return opened


def _map(path: Path) -> OpenShard:
    try:
        file = Mapped.of(path)
        length = int.from_bytes(file.bytes_N[:8].tobytes(), "little")
        header = json.loads(file.bytes_N[8 : 8 + length].tobytes())
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        begins = {name: 8 + length + int(entry["data_offsets"][0]) for name, entry in entries.items()}
        arrays = {name: _view(file, begins[name], entry) for name, entry in entries.items()}
        return OpenShard(file, arrays, begins[ROWS])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        raise UserError(f"{path} is not a whole safetensors file: make it again") from None


def _view(file: Mapped, begin: int, entry: dict[str, Any]) -> np.ndarray:
    return file.view(begin, _DTYPES[str(entry["dtype"])], tuple(entry["shape"]))


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
        self._open: dict[int, OpenShard] = {}
        allow_files(len(shards))

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.shards else 0

    def opened(self, number: int) -> OpenShard:
        """Shard `number`, mapped."""
        if number not in self._open:
            self._open[number] = map_shard(self.folder, self.shards[number], self.d_in, self.columns)
        return self._open[number]

    def arrays(self, number: int) -> Arrays:
        """Mapped arrays of shard `number`."""
        return self.opened(number).arrays

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
        places = self._places(wanted)
        for number, here in places if is_rows else ():
            self.opened(number).announce(wanted[here] - self.begin(number))
        for number, here in places:
            out[here] = self.arrays(number)[name][wanted[here] - self.begin(number)]
        return out

    def _places(self, wanted: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Shards that hold the rows `wanted` [n], each with the places in `wanted` that it fills."""
        if not len(wanted):
            return []
        shard_N = np.searchsorted(self.ends, wanted, side="right")
        order = np.argsort(shard_N, kind="stable")
        numbers, begins = np.unique(shard_N[order], return_index=True)
        return list(zip(numbers.tolist(), np.split(order, begins[1:]), strict=True))
