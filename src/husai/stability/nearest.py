"""Nearest neighbours between large dictionaries, streamed over panels: both ways in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from husai.errors import UserError
from husai.stability.largest import Largest, Lists
from husai.stability.rows import Floats, Floats32, Rows
from husai.stability.tiles import panels

Kind = Literal["signed", "abs"]
NEIGHBOURS = 32


@dataclass(frozen=True)
class Neighbours:
    """The m most similar rows of the other side, of every row of `a` (`of_a`) and of `b` (`of_b`), by falling cosine.

    Cosines are float32; of equal ones the lower index comes first. Where the other side has fewer than m rows the lists
    end with -inf and -1.
    """

    m: int
    of_a: Lists
    of_b: Lists

    def turned(self) -> Neighbours:
        """The same seen from the other side."""
        return Neighbours(self.m, self.of_b, self.of_a)


def neighbours(
    a: Rows, b: Rows, m: int = NEIGHBOURS, kinds: Sequence[Kind] = ("signed",), tile: int | None = None
) -> dict[Kind, Neighbours]:
    """The m nearest neighbours of every row on either side, by cosine or by abs(cosine), in one pass for all kinds.

    Raises:
        UserError: m below 1, or as `tiles.panels`.
    """
    if m < 1:
        raise UserError(f"a row has at least one nearest neighbour; given: m = {m}")
    found: dict[Kind, tuple[Largest, Largest]] = {kind: (Largest(len(a), m), Largest(len(b), m)) for kind in kinds}
    for row, col, C in panels(a, b, tile):
        for kind, (of_a, of_b) in found.items():  # signed first: abs overwrites the panel
            values = np.abs(C, out=C) if kind == "abs" else C
            of_a.offer(row, col, values)
            of_b.offer(col, row, values.T)
    return {kind: Neighbours(m, of_a.lists(), of_b.lists()) for kind, (of_a, of_b) in found.items()}


def nearest_net(a: Rows, b: Rows, price_F: Floats, m: int, kind: Kind = "signed", tile: int | None = None) -> Lists:
    """For every row of `a` the m rows of `b` of largest similarity less the price of that row of `b`.

    Raises:
        UserError: as `tiles.panels`.
    """
    found, price = Largest(len(a), m), price_F.astype(np.float32)
    for row, col, C in panels(a, b, tile):
        values = np.abs(C, out=C) if kind == "abs" else C
        values -= price[col : col + values.shape[1]]
        found.offer(row, col, values)
    return found.lists()


def largest_abs(a: Rows, b: Rows, tile: int | None = None) -> tuple[Floats32, Floats32]:
    """`max_j abs(C_ij)` [F_A] and `max_i abs(C_ij)` [F_B]."""
    of_a, of_b = np.zeros(len(a), dtype=np.float32), np.zeros(len(b), dtype=np.float32)
    for row, col, C in panels(a, b, tile):
        size = np.abs(C, out=C)
        _raise(of_a, row, size.max(axis=1))
        _raise(of_b, col, size.max(axis=0))
    return of_a, of_b


def own_largest(a: Rows, tile: int | None = None) -> tuple[Floats, Floats]:
    """Of every row the largest cosine and the largest abs(cosine) with *another* row of the same side [F]."""
    signed, size = np.full(len(a), -np.inf, dtype=np.float32), np.zeros(len(a), dtype=np.float32)
    for row, col, C in panels(a, a, tile, upper=True):
        if row == col:
            np.fill_diagonal(C, -np.inf)
        _raise(signed, row, C.max(axis=1))
        _raise(signed, col, C.max(axis=0))
        if row == col:
            np.fill_diagonal(C, 0.0)
        np.abs(C, out=C)
        _raise(size, row, C.max(axis=1))
        _raise(size, col, C.max(axis=0))
    return signed.astype(np.float64), size.astype(np.float64)


def _raise(largest: Floats32, start: int, values: Floats32) -> None:
    part = largest[start : start + len(values)]
    np.maximum(part, values, out=part)
