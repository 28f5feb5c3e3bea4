"""Files mapped into memory: one open file each, and rows asked for together before they are touched one by one."""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from husai.errors import UserError

SPARE_FILES = 64  # besides the maps: pipes, checkpoints, libraries that are loaded later


@dataclass(frozen=True, eq=False)
class Mapped:
    """A whole file as read-only bytes [size]."""

    path: Path
    bytes_N: np.ndarray

    @classmethod
    def of(cls, path: Path) -> Mapped:
        """Map a file.

        Raises:
            OSError: it cannot be opened.
            ValueError: it is empty.
        """
        with path.open("rb") as handle:
            return cls(path, np.frombuffer(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8))

    def view(self, begin: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """The array that begins at byte `begin`; nothing is copied.

        Raises:
            ValueError: the file ends before it.
        """
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if begin < 0 or size < 0 or begin + size > len(self.bytes_N):
            raise ValueError(f"bytes {begin} to {begin + size} are not within {len(self.bytes_N)}")
        return self.bytes_N[begin : begin + size].view(dtype).reshape(shape)

    def announce(self, begin: int, row_bytes: int, rows: np.ndarray) -> None:
        """Ask the system to read these rows [n], of an array that begins at byte `begin`, all at once.

        Without it every row is a page fault that waits for the disk, and reads up to the device's whole read-ahead
        (megabytes) around itself. Advice only: where a system knows none, or the disk refuses, nothing happens.
        """
        if not hasattr(os, "posix_fadvise"):
            return
        with suppress(OSError):
            handle = os.open(self.path, os.O_RDONLY)
            try:
                for first, size in _runs(begin + rows * row_bytes, row_bytes):
                    os.posix_fadvise(handle, first, size, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)


def _runs(begins: np.ndarray, size: int) -> list[tuple[int, int]]:
    """(begin, size) of the runs of pages that pieces of `size` bytes lie on, from the front of the file to its end."""
    begins = np.sort(begins)
    first, last = begins // mmap.PAGESIZE, (begins + size - 1) // mmap.PAGESIZE
    apart = first[1:] > last[:-1] + 1
    heads, ends = first[np.append(True, apart)], last[np.append(apart, True)]
    return list(zip((heads * mmap.PAGESIZE).tolist(), ((ends - heads + 1) * mmap.PAGESIZE).tolist(), strict=True))


def allow_files(count: int) -> None:
    """See to it that `count` files can be open at once, twice over, besides what this process needs otherwise.

    Raises:
        UserError: the system does not allow so many.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or 2 * count + SPARE_FILES <= soft:
        return
    if count + SPARE_FILES > most:
        raise UserError(f"{count} shards need as many open files, and {most} are allowed: raise the limit (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(most, 2 * count + SPARE_FILES)), hard))
