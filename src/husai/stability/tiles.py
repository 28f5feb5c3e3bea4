"""Cosines of large dictionaries in panels: the whole matrix is never held.

Products always have the shape PANEL x PANEL, the last ones padded with zeros: every cosine is summed in the same order,
so no result depends on the size of a tile, bit for bit (on one machine, with the same library and number of threads).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from husai.errors import UserError
from husai.events import check_stop, report
from husai.stability.rows import Floats, Floats32, Ints, Rows, same_width

EXACT_UP_TO = 16_384  # features: of so many on both sides all cosines are held at once, in float64 (2 GiB)
PANEL = 1024  # rows and columns of one product; its cosines (4 MiB) stay in the cache while they are read
TOLD_FROM = 64  # steps of a panel's width by a tile from which progress is reported
TILE_BYTES = 64 * 2**20  # unit rows of the first side held at once


def held_whole(n_a: int, n_b: int) -> bool:
    """Whether so many features are compared by the whole cosine matrix, in float64, rather than in panels."""
    return n_a * n_b <= EXACT_UP_TO**2


class Panel(NamedTuple):
    """Cosines C [rows, cols] of rows `row` ... of one side with rows `col` ... of the other; the next overwrites it."""

    row: int
    col: int
    C: Floats32


def panels(a: Rows, b: Rows, tile: int | None = None, *, upper: bool = False) -> Iterator[Panel]:
    """Every cosine of `a` with `b` once, in float32; with `upper` only the panels on and above the diagonal.

    `tile` is the number of rows of `a` held at once, rounded up to whole panels; by default what fits in 64 MiB. It
    sets memory (about `4 * width * (tile + 3 * PANEL)` bytes and one panel) and speed, never the result.

    Raises:
        UserError: rows of different lengths, or a tile below 1.
    """
    same_width(a, b)
    height = _height(tile, a.width)
    out = np.empty((PANEL, PANEL), dtype=np.float32)
    done, steps = 0, sum(len(_columns(top, b, upper)) for top in range(0, len(a), height))
    for top in range(0, len(a), height):
        left = [(row, _padded(a, row)) for row in range(top, min(top + height, len(a)), PANEL)]
        for col in _columns(top, b, upper):
            check_stop()
            right_DP = _padded(b, col).T
            for row, unit_PD in left:
                if not upper or col >= row:
                    np.matmul(unit_PD, right_DP, out=out)
                    yield Panel(row, col, out[: len(a) - row, : len(b) - col])
            done += 1
            if steps >= TOLD_FROM:
                report("cosines", f"cosines of {len(a)} features with {len(b)}", done, steps)


def dots(a: Rows, b: Rows, rows: Ints, cols: Ints) -> Floats:
    """Cosine of row `rows[k]` of `a` with row `cols[k]` of `b`, in float64."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), PANEL):
        part = slice(start, start + PANEL)
        out[part] = np.einsum("kd,kd->k", a.unit(rows[part]), b.unit(cols[part]))
    return np.clip(out, -1.0, 1.0)


def _columns(top: int, b: Rows, upper: bool) -> range:
    return range(top if upper else 0, len(b), PANEL)


def _height(tile: int | None, width: int) -> int:
    if tile is not None and tile < 1:
        raise UserError(f"a tile has at least one row; given: {tile}")
    rows = TILE_BYTES // (4 * max(1, width)) if tile is None else tile + PANEL - 1
    return max(PANEL, rows // PANEL * PANEL)


def _padded(rows: Rows, start: int) -> Floats32:
    """PANEL unit rows from `start`, zeros beyond the last."""
    unit = rows.unit(slice(start, start + PANEL))
    out = np.zeros((PANEL, rows.width), dtype=np.float32)
    out[: len(unit)] = unit
    return out
