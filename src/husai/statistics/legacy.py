"""Published formulas that are wrong, kept so that old numbers can be replayed. Never part of a verdict.

Their results carry no standard error, so the decision rule refuses them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from husai.errors import UserError
from husai.seeds import Role, generator
from husai.statistics.estimate import Estimate

REPLAY_ONLY = "replay only: pairs share seeds, 47-55 % coverage at nominal 95 %"


def legacy_pair_bootstrap(matrix_SS: ArrayLike, level: float = 0.95, draws: int = 10_000, root: int = 0) -> Estimate:
    """Percentile bootstrap that resamples *pairs* of a matrix [S, S] as if they were independent. They are not.

    Raises:
        UserError: the matrix is not square or holds no pair.
    """
    m = np.array(matrix_SS, dtype=np.float64)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or len(m) < 2:
        raise UserError(f"a pair matrix is square with at least two rows; this one has shape {m.shape}")
    pairs = m[np.triu_indices(len(m), 1)]
    rng = generator(root, Role.BOOTSTRAP, "legacy_pairs", len(pairs))
    means = pairs[rng.integers(0, len(pairs), size=(draws, len(pairs)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(
        float(pairs.mean()),
        float(low),
        float(high),
        level,
        "legacy bootstrap over pairs",
        len(pairs),
        "pairs",
        None,
        None,
        REPLAY_ONLY,
    )


def legacy_conservative_lcb(trained: Estimate, control: Estimate) -> float:
    """`trained.low - control.high`: neither a bound of the difference nor at any stated level.

    Raises:
        UserError: one of the two has no interval.
    """
    if trained.low is None or control.high is None:
        raise UserError("the legacy bound needs both intervals: " + (trained.note or control.note or "one is missing"))
    return trained.low - control.high
