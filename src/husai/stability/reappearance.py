"""Which features come back, and how much they carry (2606.12138)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from husai.errors import UserError
from husai.stability.matching import Bools, Matches
from husai.stability.rows import Floats


def reappearance(matches: Matches, t: float = 0.7) -> Floats:
    """Per feature [S, F]: the share of the *other* seeds in which its one-to-one partner has signed cosine >= t.

    A feature without a partner in a seed does not come back there. NaN for features outside the population matched.

    Raises:
        UserError: fewer than two seeds.
    """
    S = len(matches.alive_SF)
    if S < 2:
        raise UserError("reappearance needs at least two seeds")
    back_SSF = np.nan_to_num(matches.cosine_SSF, nan=-np.inf) >= t
    return np.where(matches.alive_SF, back_SSF.sum(axis=1) / (S - 1), np.nan)


def reappears(share_SF: Floats, at_least: float = 0.5) -> Bools:
    """Features [S, F] that come back in at least this share of the other seeds."""
    return np.nan_to_num(share_SF, nan=-1.0) >= at_least


@dataclass(frozen=True)
class Carried:
    """What reappearing features carry of a quantity, per seed [S]; `share_S` is NaN where the total is not positive."""

    carried_S: Floats
    total_S: Floats
    share_S: Floats


def carried(reappears_SF: ArrayLike, contribution_SF: ArrayLike) -> Carried:
    """Sum of per-feature contributions [S, F] (activation mass, explained variance) over the reappearing features.

    Contributions to explained variance do not add up exactly, since features overlap; for the exact number decode with
    the reappearing features alone and give its explained variance instead.

    Raises:
        UserError: shapes that differ, or a contribution that is not finite.
    """
    back, given = np.asarray(reappears_SF), np.asarray(contribution_SF, dtype=np.float64)
    if back.shape != given.shape or back.ndim != 2 or back.dtype != np.bool_:
        raise UserError(f"give a mask and contributions of one shape [S, F]; given: {back.shape} and {given.shape}")
    if not np.isfinite(given).all():
        raise UserError("a contribution is not finite: features that never fired contribute 0")
    total = given.sum(axis=1)
    kept = np.where(back, given, 0.0).sum(axis=1)
    return Carried(kept, total, np.divide(kept, total, out=np.full(len(total), np.nan), where=total > 0))
