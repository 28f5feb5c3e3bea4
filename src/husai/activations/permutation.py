"""A seeded order of n rows: drawn whole while that is small, computed where it is asked for when it is not.

A drawn permutation costs memory and, when an epoch begins, time in proportion to n, for every seed. A keyed one costs
nothing but its keys: a Feistel network over the cells of an a x b grid with a * b just above n, whose two coordinates
take turns at being moved by a keyed hash of the other. Places beyond n are sent on until they fall within (cycle
walking; Black and Rogaway 2002), which is rare, since a * b - n is below the square root of n.
"""

from __future__ import annotations

from math import isqrt
from typing import Protocol

import numpy as np

DRAWN_ROWS = 2**22  # above it the order is keyed; whoever moves it changes the order of what lies between
ROUNDS = 8
_MIX = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))  # finaliser of MurmurHash3
_SHIFT, _HALF = np.uint64(33), np.uint64(32)


class Order(Protocol):
    """A permutation of 0 to n - 1."""

    def rows(self, start: int, stop: int) -> np.ndarray:
        """What stands at the places `start` to `stop` (not included), int64."""
        ...


def order_of(n: int, stream: np.random.Generator) -> Order:
    """The order of `n` rows that a stream stands for."""
    return Drawn(n, stream) if n <= DRAWN_ROWS else Keyed(n, stream)


def how(n: int) -> str:
    """How the order of `n` rows is made, for the record."""
    return "drawn permutation" if n <= DRAWN_ROWS else f"keyed permutation ({ROUNDS} Feistel rounds)"


class Drawn:
    """NumPy's permutation, kept whole: 4 bytes a row."""

    def __init__(self, n: int, stream: np.random.Generator) -> None:
        drawn = stream.permutation(n)
        self._rows = drawn.astype(np.int32) if n < 2**31 else drawn

    def rows(self, start: int, stop: int) -> np.ndarray:
        """See `Order`."""
        return self._rows[start:stop].astype(np.int64)


class Keyed:
    """A Feistel permutation: only its keys are kept, and n may be anything below 2^62."""

    def __init__(self, n: int, stream: np.random.Generator) -> None:
        root = isqrt(n - 1) + 1
        sizes = (root, -(-n // root))
        self.n = n
        self._sizes = tuple(np.uint64(size) for size in sizes)
        self._keys = stream.integers(0, 2**64, ROUNDS, dtype=np.uint64)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """See `Order`; time and memory in proportion to stop - start."""
        found = self._once(np.arange(start, stop, dtype=np.uint64))
        beyond = np.flatnonzero(found >= self.n)
        while len(beyond):
            found[beyond] = self._once(found[beyond])
            beyond = beyond[found[beyond] >= self.n]
        return found.astype(np.int64)

    def _once(self, cells: np.ndarray) -> np.ndarray:
        """The network on cells [B] of the grid."""
        halves = list(np.divmod(cells, self._sizes[1]))
        for number, key in enumerate(self._keys):
            moved, size = number % 2, self._sizes[number % 2]
            halves[moved] = (halves[moved] + _hashed(halves[1 - moved], key, size)) % size
        return halves[0] * self._sizes[1] + halves[1]


def _hashed(values: np.ndarray, key: np.uint64, size: np.uint64) -> np.ndarray:
    """Keyed hash of values [B], spread over 0 to size - 1 (size below 2^32)."""
    mixed = values ^ key
    for multiplier in _MIX:
        mixed = (mixed ^ (mixed >> _SHIFT)) * multiplier
    return ((mixed ^ (mixed >> _SHIFT)) >> _HALF) * size >> _HALF
