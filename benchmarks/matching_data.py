"""Dictionaries to be matched: half of the features of every seed come back in the others, more or less exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

PIECE = 8192  # rows made at once


@dataclass(frozen=True)
class Size:
    """`seeds` dictionaries of `features` rows of length `width`."""

    features: int
    width: int
    seeds: int = 2

    def __str__(self) -> str:
        return f"{self.features}x{self.width}" + (f"x{self.seeds}" if self.seeds != 2 else "")


def parse(text: str) -> Size:
    """`FEATURESxWIDTH` or `FEATURESxWIDTHxSEEDS`.

    Raises:
        ValueError: it is not that.
    """
    parts = text.strip().split("x")
    if len(parts) not in (2, 3) or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"'{text}' is no size: write FEATURESxWIDTH or FEATURESxWIDTHxSEEDS, for example 4096x512")
    size = Size(*(int(part) for part in parts))
    if size.features < 2 or size.seeds < 2:
        raise ValueError(f"'{text}': there must be at least two features and two seeds")
    return size


def make(size: Size, path: Path) -> Path:
    """A file of float32 [S, F, D], to be mapped. The same size gives the same bytes."""
    shape = (size.seeds, size.features, size.width)
    W_SFD = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    shared = size.features // 2
    for start in range(0, size.features, PIECE):
        rows = slice(start, min(start + PIECE, size.features))
        n = rows.stop - rows.start
        rng = np.random.default_rng([size.features, size.width, start])
        base = rng.standard_normal((n, size.width), dtype=np.float32)
        noise = rng.uniform(0.1, 1.5, (n, 1)).astype(np.float32)
        for W_FD in W_SFD:
            own = rng.standard_normal((n, size.width), dtype=np.float32)
            comes_back = (np.arange(start, start + n) < shared)[:, None]
            W_FD[rows] = np.where(comes_back, base + noise * own, own)
    for seed, W_FD in enumerate(W_SFD):
        _shuffle(W_FD, np.random.default_rng([size.features, seed]))
    W_SFD.flush()
    return path


def _shuffle(W_FD: np.ndarray, rng: np.random.Generator) -> None:
    W_FD[:] = W_FD[rng.permutation(len(W_FD))]
