"""Floors: what independent isotropic decoders of the same sizes would score. They describe; they are not the null.

A floor is a constant, so it has the standard error of its computation and no interval. Trained controls are the null:
low-rank activations alone make dictionaries agree far above any floor (definitions, section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special, stats
from scipy.optimize import linear_sum_assignment

from husai.errors import UserError
from husai.events import check_stop
from husai.seeds import Role, generator
from husai.stability.matching import compare_rows, how
from husai.stability.rows import Floats, directions
from husai.stability.similarity import unit_rows
from husai.stability.tiles import held_whole

TARGET_SE = 1e-3
FEWEST_DRAWS, MOST_DRAWS = 4, 100_000
FEWEST_LARGE_DRAWS = 2  # above about 16,000 features: a draw takes minutes, and differs from the next by 1e-5


@dataclass(frozen=True)
class Floor:
    """Expected score of independent isotropic decoders; `se` is 0 for a closed form, `made` says how it was made.

    `spread` is the standard deviation of a single pair of decoders, where it was drawn.
    """

    metric: str
    value: float
    se: float
    d: int
    n_a: int
    n_b: int
    made: str
    spread: float | None = None


def normalise(value: float, floor: float) -> float:
    """`(v - floor) / (1 - floor)`: 0 at the floor, 1 for a perfect match; NaN where the floor is 1 (d = 1)."""
    return (value - floor) / (1 - floor) if floor < 1 else float("nan")


@lru_cache(maxsize=4096)
def expected_max_abs_cos(d: int, n: int) -> float:
    """`E max abs cos` of a direction with n independent isotropic ones in d dimensions, in closed form.

    `integral_0^1 [1 - I_{t^2}(1/2, (d-1)/2)^n] dt`, I the regularised incomplete beta function.
    """
    if d < 1 or n < 0:
        raise UserError(f"a floor needs d >= 1 and n >= 0; given: d = {d}, n = {n}")
    if n == 0:
        return 0.0
    if d == 1:
        return 1.0
    nodes, weights = _quadrature()
    return float(weights @ -np.expm1(n * np.log(special.betainc(0.5, (d - 1) / 2, nodes**2))))


@lru_cache(maxsize=1)
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre on [0, 1], composed of short panels so that the step at small t is resolved for any d."""
    x, w = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(0.0, 1.0, 201)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()


def floor_mean_max_cos(d: int, n_a: int, n_b: int) -> Floor:
    """Closed form for sizes n_a and n_b: `1/2 [E(n_a) + E(n_b)]`."""
    value = (expected_max_abs_cos(d, n_a) + expected_max_abs_cos(d, n_b)) / 2
    return Floor("mean_max_cos", value, 0.0, d, n_a, n_b, "closed form")


def floor_subspace_overlap(d: int, r: int) -> Floor:
    """r / d for two independent r-dimensional subspaces."""
    return Floor(f"subspace_overlap({r})", r / d, 0.0, d, r, r, "closed form")


def floor_mcc(metric: str, d: int, n_a: int, n_b: int, root: int = 0) -> Floor:
    """Mean of `mcc_signed` or `mcc_abs` over draws at exactly these sizes, until the standard error is below .001.

    The error must be below .001 with 95 % confidence, which matters while the draws are few. Draws come from the named
    stream of floors, so the value is the same in every process; it is kept for the life of the process.

    Raises:
        UserError: another metric, or a size below 1.
    """
    if metric not in ("mcc_signed", "mcc_abs"):
        raise UserError(f"floors are drawn for mcc_signed and mcc_abs, not for '{metric}'")
    if min(d, n_a, n_b) < 1:
        raise UserError(f"a floor needs sizes of at least 1; given: d = {d}, {n_a} and {n_b} features")
    drawn = _draw(d, min(n_a, n_b), max(n_a, n_b), root)
    column = 0 if metric == "mcc_signed" else 1
    spread = drawn.spread[column]
    se = spread / math.sqrt(drawn.n)
    made = f"mean of {drawn.n} draws, standard error {se:.1g}{drawn.how}"
    return Floor(metric, drawn.mean[column], se, d, n_a, n_b, made, spread)


class _Drawn(NamedTuple):
    """Mean and standard deviation over n draws of (mcc_signed, mcc_abs); `how` they were matched, if not exactly."""

    mean: tuple[float, float]
    spread: tuple[float, float]
    n: int
    how: str


@lru_cache(maxsize=1024)
def _draw(d: int, small: int, large: int, root: int) -> _Drawn:
    rng = generator(root, Role.FLOOR, d, small, large)
    exact = held_whole(small, large)
    scores: list[tuple[float, float]] = []
    words = ""
    while len(scores) < MOST_DRAWS and not _settled(scores, FEWEST_DRAWS if exact else FEWEST_LARGE_DRAWS):
        check_stop()
        if exact:
            scores.append(_exact_scores(rng, d, small, large))
        else:
            score, words = _sparse_scores(rng, d, small, large)
            scores.append(score)
    x = np.array(scores)
    (mean_0, mean_1), (sd_0, sd_1) = x.mean(axis=0).tolist(), x.std(axis=0, ddof=1).tolist()
    return _Drawn((mean_0, mean_1), (sd_0, sd_1), len(x), words)


def _exact_scores(rng: np.random.Generator, d: int, small: int, large: int) -> tuple[float, float]:
    """(mcc_signed, mcc_abs) of one draw, small <= large."""
    C = unit_rows(rng.standard_normal((small, d))) @ unit_rows(rng.standard_normal((large, d))).T
    return _matched(C) / large, _matched(np.abs(C, out=C)) / large


def _matched(C: Floats) -> float:
    """Sum of the best one-to-one matching; C is overwritten and restored, since the solver copies to maximise."""
    np.negative(C, out=C)
    found = linear_sum_assignment(C)
    np.negative(C, out=C)
    return float(C[found].sum())


def _sparse_scores(rng: np.random.Generator, d: int, small: int, large: int) -> tuple[tuple[float, float], str]:
    """The same above about 16,000 features, matched as dictionaries of that size are; and in words how."""
    a, b = (directions(rng.standard_normal((n, d), dtype=np.float32)) for n in (small, large))
    found = compare_rows(a, b)
    made = how([found.signed.sparse, found.absolute.sparse])
    return (found.signed.score, found.absolute.score), f", {made}"


def _settled(scores: list[tuple[float, float]], fewest: int) -> bool:
    """Whether the upper 95 % bound of the standard error is below the target, for both metrics."""
    m = len(scores)
    if m < fewest or (m > 32 and m % 32):
        return False
    inflate = math.sqrt((m - 1) / float(stats.chi2.ppf(0.05, m - 1)))
    return bool((np.std(scores, axis=0, ddof=1) * inflate / math.sqrt(m) < TARGET_SE).all())


def floor_of(metric: str, d: int, n_a: int, n_b: int, root: int = 0) -> Floor | None:
    """The floor of a metric at these sizes, or None where the definitions give none (shared_at, activation_match)."""
    if metric == "mean_max_cos":
        return floor_mean_max_cos(d, n_a, n_b)
    if metric in ("mcc_signed", "mcc_abs"):
        return floor_mcc(metric, d, n_a, n_b, root) if min(n_a, n_b) else None
    if metric.startswith("subspace_overlap("):
        return floor_subspace_overlap(d, int(metric.removeprefix("subspace_overlap(").removesuffix(")")))
    return None
