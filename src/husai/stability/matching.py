"""One-to-one matching of the features of dictionaries: indices are not aligned between seeds.

Up to about 16,000 features (`tiles.EXACT_UP_TO`) the matching is exact (`hungarian`); above it is made among nearest
neighbours and says how far it can be from the exact one (`sparse_matching`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError
from husai.events import check_stop
from husai.stability.hungarian import Matching, Sparse, match, match_in_place
from husai.stability.nearest import NEIGHBOURS, Kind, neighbours
from husai.stability.rows import Floats, Ints, Rows, directions
from husai.stability.similarity import whole
from husai.stability.sparse_matching import match_sparse
from husai.stability.tiles import held_whole

__all__ = ["Matches", "Matching", "how", "mask", "match", "match_all", "match_features", "match_rows", "stack"]

Bools = NDArray[np.bool_]
EXACT = "exact assignment"


def match_features(
    A_FD: ArrayLike, B_FD: ArrayLike, d_in: int | None = None, kind: Kind = "signed", tile: int | None = None
) -> Matching:
    """Matching by cosine, or abs(cosine), of two dictionaries [F, D]; `tile` as in `tiles.panels`.

    Raises:
        UserError: shapes that do not fit, or values that are not finite.
    """
    return match_rows(directions(A_FD, d_in), directions(B_FD, d_in), kind, tile)


def match_rows(a: Rows, b: Rows, kind: Kind = "signed", tile: int | None = None) -> Matching:
    """Matching of rows: exact where the whole matrix is held, else among nearest neighbours.

    Raises:
        UserError: the rows differ in length.
    """
    if not held_whole(len(a), len(b)):
        return match_sparse(a, b, neighbours(a, b, NEIGHBOURS, (kind,), tile)[kind], kind, tile)
    if len(a) > len(b):  # the solver would copy the matrix to turn it
        return match_rows(b, a, kind, tile).turned()
    C = whole(a, b)
    return match_in_place(np.abs(C, out=C) if kind == "abs" else C)


@dataclass(frozen=True)
class Compared:
    """One pair of dictionaries: both matchings, and the largest abs(cosine) of every feature [F_A], [F_B]."""

    signed: Matching
    absolute: Matching
    largest_a: Floats
    largest_b: Floats

    def turned(self) -> Compared:
        """The same seen from the other side."""
        return Compared(self.signed.turned(), self.absolute.turned(), self.largest_b, self.largest_a)


def compare_rows(a: Rows, b: Rows, tile: int | None = None) -> Compared:
    """Everything that follows from the cosines of one pair, computed once.

    Raises:
        UserError: the rows differ in length.
    """
    if not held_whole(len(a), len(b)):
        found = neighbours(a, b, NEIGHBOURS, ("signed", "abs"), tile)
        signed, absolute = (match_sparse(a, b, found[kind], kind, tile) for kind in ("signed", "abs"))
        largest_a, largest_b = (
            lists.value[:, 0].astype(np.float64) for lists in (found["abs"].of_a, found["abs"].of_b)
        )
        return Compared(signed, absolute, largest_a, largest_b)
    if len(a) > len(b):
        return compare_rows(b, a, tile).turned()
    C = whole(a, b)
    signed = match_in_place(C)
    size = np.abs(C, out=C)
    return Compared(signed, match_in_place(size), size.max(axis=1, initial=0.0), size.max(axis=0, initial=0.0))


def how(made: Sequence[Sparse | None]) -> str:
    """How matchings were made (`Matching.sparse`), for the text beside a number that rests on all of them."""
    sparse = [s for s in made if s is not None]
    if not sparse:
        return EXACT
    gap, left = max(s.gap for s in sparse), max(s.left for s in sparse)
    words = f"sparse assignment on {sparse[0].m} nearest neighbours, gap <= {_rounded_up(gap)}"
    words += f", up to {left} features matched outside them" if left else ""
    return words if len(sparse) == len(made) else f"{words} ({len(sparse)} of {len(made)} matchings; the others exact)"


def _rounded_up(gap: float) -> str:
    if gap <= 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(gap)) - 1)
    return f"{math.ceil(gap / unit) * unit:.2g}"


@dataclass(frozen=True)
class Matches:
    """Matchings of every ordered pair of seeds. [i, j, f]: of feature f of seed i in seed j.

    `partner_SSF` is -1 and the cosine and margin NaN where a feature has no partner (not alive, or one too many)
    and for i = j. `how` says how they were made.
    """

    partner_SSF: Ints
    cosine_SSF: Floats
    margin_SSF: Floats
    alive_SF: Bools
    how: str = EXACT


def match_all(
    W_dec_SFD: ArrayLike, alive_SF: ArrayLike | None = None, d_in: int | None = None, tile: int | None = None
) -> Matches:
    """Match every pair of seeds by signed decoder cosine, over alive features only where a mask is given.

    A memory-mapped stack is read in place.

    Raises:
        UserError: shapes that do not fit, or values that are not finite.
    """
    W = stack(W_dec_SFD, d_in)
    S, F, _ = W.shape
    alive = mask(alive_SF, S, F)
    sides = [directions(w, keep=np.flatnonzero(live)) for w, live in zip(W, alive, strict=True)]
    gathered = Gathered(alive)
    for i in range(S):
        for j in range(i + 1, S):
            check_stop()
            gathered.add(i, j, match_rows(sides[i], sides[j], tile=tile))
    return gathered.matches()


class Gathered:
    """`Matches` in the making, pair by pair."""

    def __init__(self, alive_SF: Bools) -> None:
        """No pair yet."""
        S, F = alive_SF.shape
        self.alive_SF = alive_SF
        self.live = [np.flatnonzero(alive) for alive in alive_SF]
        self.partner = np.full((S, S, F), -1, dtype=np.intp)
        self.cosine, self.margin = np.full((S, S, F), np.nan), np.full((S, S, F), np.nan)
        self.made: list[Sparse | None] = []

    def add(self, i: int, j: int, found: Matching) -> None:
        """The matching of the alive features of seeds i and j."""
        f, g = self.live[i][found.rows], self.live[j][found.cols]
        self.partner[i, j, f], self.partner[j, i, g] = g, f
        self.cosine[i, j, f] = self.cosine[j, i, g] = found.similarity
        self.margin[i, j, f], self.margin[j, i, g] = found.margin, found.margin_back
        self.made.append(found.sparse)

    def matches(self) -> Matches:
        """Those of all pairs."""
        return Matches(self.partner, self.cosine, self.margin, self.alive_SF, how(self.made))


def stack(W_SFD: ArrayLike, d_in: int | None = None) -> NDArray[np.floating]:
    """A stack of dictionaries [S, F, D], checked.

    Raises:
        UserError: not three axes, no seed, or the last axis is not `d_in`.
    """
    W = np.asarray(W_SFD)
    if W.ndim != 3 or not len(W):
        raise UserError(f"a stack of dictionaries has shape [S, F, D]; this one has shape {W.shape}")
    if d_in is not None and W.shape[2] != d_in:
        raise UserError(f"features are rows of length d_in = {d_in}, but the stack has shape {W.shape}: pass [S, F, D]")
    return W


def mask(alive_SF: ArrayLike | None, S: int, F: int) -> Bools:
    """A boolean mask [S, F]; all True for None.

    Raises:
        UserError: not boolean, or of another shape.
    """
    if alive_SF is None:
        return np.ones((S, F), dtype=bool)
    alive = np.asarray(alive_SF)
    if alive.dtype != np.bool_ or alive.shape != (S, F):
        raise UserError(f"alive is a boolean mask [{S}, {F}]; given: {alive.dtype} of shape {alive.shape}")
    return alive
