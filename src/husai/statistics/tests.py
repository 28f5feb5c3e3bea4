"""Paired tests over independent units: sign-flip permutation and Wilcoxon's signed ranks.

The values are one difference per *unit* (seed, model or group), never one per pair of seeds. With n units the
smallest two-sided p-value is 2 / 2^n, so below six units no test could reach .05 and none is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from husai.errors import UserError
from husai.seeds import Role, generator

MIN_UNITS_OF_A_TEST = 6
EXACT_UP_TO = 16  # 2^16 sign patterns
Alternative = Literal["two-sided", "greater"]


@dataclass(frozen=True)
class TestResult:
    """p-value of a paired test; `statistic` is the mean difference or the signed-rank sum."""

    __test__ = False  # not a pytest class

    statistic: float
    p_value: float
    n: int
    n_unit: str
    alternative: Alternative
    method: str
    patterns: int


def sign_flip(
    differences: ArrayLike, alternative: Alternative = "two-sided", unit: str = "seeds", root: int = 0
) -> TestResult:
    """Permutation test that the differences are symmetric about 0, on their mean.

    All 2^n sign patterns up to n = 16; beyond that 65,536 drawn ones from a named stream, p = (hits + 1) / (draws + 1).

    Raises:
        UserError: fewer than six units, or a missing value.
    """
    x = _differences(differences, unit)
    return _flip(x, x / len(x), alternative, unit, root, "sign-flip permutation")


def wilcoxon(
    differences: ArrayLike, alternative: Alternative = "two-sided", unit: str = "seeds", root: int = 0
) -> TestResult:
    """Wilcoxon's signed-rank test by the same sign patterns; ties share ranks, zeros keep theirs (Pratt).

    Raises:
        UserError: fewer than six units, or a missing value.
    """
    x = _differences(differences, unit)
    ranks = stats.rankdata(np.abs(x)) * np.sign(x)
    return _flip(x, ranks, alternative, unit, root, "Wilcoxon signed rank, Pratt")


def t_p_value(value: float, se: float, df: float, null: float = 0.0) -> float:
    """Two-sided p-value of a t statistic, for Holm's correction of estimates; a standard error of 0 has none.

    Raises:
        UserError: the standard error is not positive.
    """
    if se <= 0:
        raise UserError("a p-value needs a standard error above 0: nothing varied between the units")
    return float(2 * stats.t.sf(abs(value - null) / se, df))


def _differences(differences: ArrayLike, unit: str) -> NDArray[np.float64]:
    x = np.array(differences, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise UserError(f"a paired test takes one finite difference per unit ({unit}); the shape given is {x.shape}")
    if len(x) < MIN_UNITS_OF_A_TEST:
        raise UserError(
            f"no paired test below {MIN_UNITS_OF_A_TEST} {unit} (given: {len(x)}): use the interval, or more {unit}"
        )
    return x


def _flip(
    x: NDArray[np.float64], scores: NDArray[np.float64], alternative: Alternative, unit: str, root: int, method: str
) -> TestResult:
    n, exact = len(x), len(x) <= EXACT_UP_TO
    signs = _all_signs(n) if exact else _drawn_signs(n, root)
    observed = float(scores.sum())
    null = signs @ scores
    slack = 1e-9 * float(np.abs(scores).sum())
    hits = null >= observed - slack if alternative == "greater" else np.abs(null) >= abs(observed) - slack
    p_value = float(hits.mean()) if exact else (float(hits.sum()) + 1) / (len(signs) + 1)
    return TestResult(observed, p_value, n, unit, alternative, method, len(signs))


def _all_signs(n: int) -> NDArray[np.float64]:
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return 1.0 - 2.0 * bits


def _drawn_signs(n: int, root: int) -> NDArray[np.float64]:
    rng = generator(root, Role.BOOTSTRAP, "sign_flip", n)
    return (1.0 - 2.0 * rng.integers(0, 2, size=(2**EXACT_UP_TO, n))).astype(np.float64)
