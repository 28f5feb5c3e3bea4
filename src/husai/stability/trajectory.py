"""Stability over training steps, and how far each row has moved from its own init.

A decoder that still has cosine .97 with its init has hardly been trained: its stability is that of the initialisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise as successive

import numpy as np
from numpy.typing import ArrayLike

from husai.errors import UserError
from husai.events import check_stop
from husai.stability.matching import Bools, mask, match_rows, stack
from husai.stability.pairwise import POPULATIONS, Population
from husai.stability.rows import Floats, directions
from husai.stability.similarity import unit_rows


@dataclass(frozen=True)
class Trajectory:
    """`mcc_signed[population]` [n, S, S] (NaN diagonal) and `cosine_to_init_nS` [n, S], alive rows only, over steps."""

    steps: tuple[int, ...]
    mcc_signed: Mapping[Population, Floats]
    cosine_to_init_nS: Floats

    def mean(self, population: Population = "alive") -> Floats:
        """Mean over pairs [n]; no interval is meant by it."""
        values = self.mcc_signed[population]
        i, j = np.triu_indices(values.shape[1], 1)
        return values[:, i, j].mean(axis=1)

    def words(self) -> str:
        """Cosine to own init at the end, as it stands beside a stability."""
        last = self.cosine_to_init_nS[-1]
        if not np.isfinite(last).any():
            return "cosine to own initialisation: no row is alive"
        return f"cosine of alive rows to their own initialisation {np.nanmean(last):.3f} after {self.steps[-1]} steps"


def cosine_to_init(W_dec_SFD: ArrayLike, W_init_SFD: ArrayLike, d_in: int | None = None) -> Floats:
    """Cosine [S, F] of every row with the same row of the same seed at initialisation.

    Raises:
        UserError: the two stacks differ in shape.
    """
    W, W0 = stack(W_dec_SFD, d_in), stack(W_init_SFD, d_in)
    if W.shape != W0.shape:
        raise UserError(f"the stack {W.shape} and its initialisation {W0.shape} differ in shape")
    return np.stack([(unit_rows(a) * unit_rows(b)).sum(axis=1) for a, b in zip(W, W0, strict=True)])


def trajectory(
    snapshots_nSFD: ArrayLike, steps: Sequence[int], alive: ArrayLike | None = None, d_in: int | None = None
) -> Trajectory:
    """Curves from decoder snapshots [n, S, F, D]; the first one is the initialisation, step 0.

    `alive` is a boolean mask [S, F] (at the end, used throughout) or [n, S, F].

    Raises:
        UserError: steps that do not rise from 0, one too few, or shapes that do not fit.
    """
    snapshots = np.asarray(snapshots_nSFD)
    if snapshots.ndim != 4 or len(steps) != len(snapshots):
        raise UserError(f"{len(steps)} steps for snapshots of shape {snapshots.shape}: give [n, S, F, D] and n steps")
    if not steps or steps[0] != 0 or any(b <= a for a, b in successive(steps)):
        raise UserError(f"steps must rise from 0, the initialisation; given: {list(steps)}")
    n, S, F, _ = snapshots.shape
    alive_nSF = _masks(alive, n, S, F)
    everything = np.ones((n, S, F), dtype=bool)
    curves: dict[Population, Floats] = {
        p: np.stack([_pairs(stack(w, d_in), m) for w, m in zip(snapshots, masks, strict=True)])
        for p, masks in zip(POPULATIONS, (everything, alive_nSF), strict=True)
    }
    to_init = [_alive_mean(cosine_to_init(w, snapshots[0]), m) for w, m in zip(snapshots, alive_nSF, strict=True)]
    return Trajectory(tuple(steps), curves, np.stack(to_init))


def _masks(alive: ArrayLike | None, n: int, S: int, F: int) -> Bools:
    given = None if alive is None else np.asarray(alive)
    if given is not None and given.ndim == 3:
        if len(given) != n:
            raise UserError(f"{len(given)} alive masks for {n} snapshots")
        return np.stack([mask(m, S, F) for m in given])
    return np.broadcast_to(mask(given, S, F), (n, S, F))


def _pairs(W_SFD: np.ndarray, alive_SF: Bools) -> Floats:
    S = len(W_SFD)
    sides = [directions(w, keep=np.flatnonzero(alive)) for w, alive in zip(W_SFD, alive_SF, strict=True)]
    out = np.full((S, S), np.nan)
    for i in range(S):
        for j in range(i + 1, S):
            check_stop()
            out[i, j] = out[j, i] = match_rows(sides[i], sides[j]).score
    return out


def _alive_mean(values_SF: Floats, alive_SF: Bools) -> Floats:
    return np.array([v[m].mean() if m.any() else np.nan for v, m in zip(values_SF, alive_SF, strict=True)])
