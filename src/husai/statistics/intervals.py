"""Intervals whose unit is the seed, the model or the group, never the pair.

Pairs of seeds share seeds: S(S-1)/2 pairs are not that many samples. The default is the delete-one-seed jackknife of
the pairwise mean with t(S-1): exact when seed effects dominate, conservative when they do not. Its limit: with strongly
skewed (exponential) seed effects a nominal 95 % interval of five seeds covers about 88 %. All intervals here are
two-sided unless the name says otherwise (definitions, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from husai.errors import Refused, UserError
from husai.statistics.estimate import MIN_UNITS, Estimate, at_level, estimate, too_few

__all__ = [
    "Estimate",
    "Terms",
    "at_level",
    "combined",
    "cross_group_contrast",
    "cross_group_mean",
    "independent_difference",
    "lower_bound_over_seeds",
    "nested_pair_mean",
    "pair_contrast",
    "pair_mean",
    "pair_mean_difference",
    "unit_mean",
]

Terms = Sequence[tuple[float, ArrayLike]]


def pair_mean(matrix_SS: ArrayLike, level: float = 0.95, unit: str = "seeds") -> Estimate:
    """Mean over the off-diagonal pairs of a symmetric matrix [S, S]; delete-one-seed jackknife, t(S-1), two-sided.

    The diagonal is ignored. Below 5 seeds: the mean and "too few seeds".

    Raises:
        UserError: not square, not symmetric, fewer than two seeds, or a pair is missing (NaN).
    """
    return pair_contrast([(1.0, matrix_SS)], level, unit)


def pair_mean_difference(A_SS: ArrayLike, B_SS: ArrayLike, level: float = 0.95, unit: str = "seeds") -> Estimate:
    """`mean(A) - mean(B)` over pairs for two arms trained with the *same* seeds: jackknife of the difference."""
    return pair_contrast([(1.0, A_SS), (-1.0, B_SS)], level, unit)


def pair_contrast(terms: Terms, level: float = 0.95, unit: str = "seeds") -> Estimate:
    """`sum of weight * mean(matrix)` where all matrices [S, S] share their seeds, in the same order.

    The jackknife deletes a seed from every arm at once, so what the arms share through it cancels. Example: the excess
    of a difference over a control is `[(1, A), (-1, B), (-1, A_control), (1, B_control)]`.

    Raises:
        UserError: as `pair_mean`, or the matrices differ in size (arms with own seeds: `independent_difference`).
    """
    matrix_SS = combined(terms, unit)
    n = len(matrix_SS)
    row_S = matrix_SS.sum(axis=1)
    total = float(row_S.sum())
    method = f"delete-one-{_one(unit)} jackknife over pairs, t({n - 1})"
    if n < MIN_UNITS:
        return estimate(
            total / (n * (n - 1)), None, None, level=level, method=method, n=n, unit=unit, note=too_few(n, unit)
        )
    without_S = (total - 2 * row_S) / ((n - 1) * (n - 2))
    return _jackknife(total / (n * (n - 1)), without_S, level, method, unit)


def cross_group_mean(
    matrix_NN: ArrayLike, groups: Sequence[Hashable], level: float = 0.95, unit: str = "groups"
) -> Estimate:
    """Mean over the pairs whose members lie in *different* groups; unit = group (delete-one-group jackknife, t(G-1)).

    For seeds that were trained together: inside a group they agree by construction. `groups[i]` is the group of row i.

    Raises:
        UserError: as `pair_mean`, one label per row is missing, or there are fewer than two groups.
    """
    matrix_NN = _square(matrix_NN, "dictionaries")
    if len(groups) != len(matrix_NN):
        raise UserError(f"{len(groups)} group labels for {len(matrix_NN)} dictionaries: give one for each")
    names = list(dict.fromkeys(groups))
    label_N = np.array([names.index(g) for g in groups])
    n = len(names)
    if n < 2:
        raise UserError("a mean between groups needs at least two groups")
    cross_NN = label_N[:, None] != label_N[None, :]
    method = f"delete-one-{_one(unit)} jackknife over cross-group pairs, t({n - 1})"
    value = float(matrix_NN[cross_NN].mean())
    if n < MIN_UNITS:
        return estimate(value, None, None, level=level, method=method, n=n, unit=unit, note=too_few(n, unit))
    kept = [(label_N != g)[:, None] & (label_N != g)[None, :] for g in range(n)]
    without_G = np.array([matrix_NN[cross_NN & keep].mean() for keep in kept])
    return _jackknife(value, without_G, level, method, unit)


def cross_group_contrast(
    terms: Terms, groups: Sequence[Hashable], level: float = 0.95, unit: str = "groups"
) -> Estimate:
    """`sum of weight * mean(matrix)` over cross-group pairs, of arms whose seeds and groups are the same.

    Raises:
        UserError: as `pair_contrast` and `cross_group_mean`.
    """
    return cross_group_mean(combined(terms, "seeds"), groups, level, unit)


def unit_mean(values: ArrayLike, level: float = 0.95, unit: str = "models") -> Estimate:
    """Mean of one value per independent unit; two-sided t(n-1). Below 5 units: the mean and "too few ...".

    Raises:
        UserError: no value, or one is missing (NaN).
    """
    x = _values(values, unit)
    n, method = len(x), f"t({len(x) - 1}) over {unit}"
    if n < MIN_UNITS:
        return estimate(float(x.mean()), None, None, level=level, method=method, n=n, unit=unit, note=too_few(n, unit))
    se = float(x.std(ddof=1)) / math.sqrt(n)
    return estimate(float(x.mean()), se, n - 1, level=level, method=method, n=n, unit=unit, note=_varies(se, unit))


def nested_pair_mean(matrices: Sequence[ArrayLike], level: float = 0.95, unit: str = "models") -> Estimate:
    """Several units, each with its own pairs of seeds (random models x SAE seeds): a unit's value is its pair mean.

    Ten SAE seeds of one random model are one draw of a random model, not ten.

    Raises:
        Refused: one unit only.
        UserError: as `pair_mean`.
    """
    if len(matrices) == 1:
        raise Refused(f"one draw says nothing about {unit}: the unit is the {_one(unit)}, train at least {MIN_UNITS}")
    values = [pair_mean(matrix_SS).value for matrix_SS in matrices]
    return unit_mean(values, level, unit)


def independent_difference(a: Estimate, b: Estimate, level: float = 0.95) -> Estimate:
    """`a - b` for arms with their own units: `SE^2 = V_a + V_b`, Welch-Satterthwaite degrees of freedom, two-sided.

    `n` is the smaller of the two. Where the kinds of unit differ, `n_unit` goes on with the other count, so that the
    two together read `5 seeds, 5 models`.
    """
    few, many = sorted((a, b), key=lambda e: e.n)
    n, unit = few.n, few.n_unit if a.n_unit == b.n_unit else f"{few.n_unit}, {many.n} {many.n_unit}"
    if a.se is None or b.se is None or a.df is None or b.df is None:
        note = "; ".join(dict.fromkeys(e.note or "no standard error" for e in (a, b) if e.se is None))
        return estimate(
            a.value - b.value, None, None, level=level, method="difference, Welch t", n=n, unit=unit, note=note
        )
    v_a, v_b = a.se**2, b.se**2
    total = v_a + v_b
    df = total**2 / (v_a**2 / a.df + v_b**2 / b.df) if total > 0 else a.df + b.df
    se, method = math.sqrt(total), f"difference, Welch t({df:.3g})"
    note = _varies(se, " or ".join(dict.fromkeys((a.n_unit, b.n_unit))))
    return estimate(a.value - b.value, se, df, level=level, method=method, n=n, unit=unit, note=note)


def lower_bound_over_seeds(values: ArrayLike, level: float = 0.95, unit: str = "seeds") -> Estimate:
    """One-sided lower bound of a group, `mean - t(n-1, level) sd / sqrt(n)`; undefined at n = 1, never the point.

    Below 5 the formula still has a value and the note says how few seeds it rests on.
    """
    x = _values(values, unit)
    n, mean, method = len(x), float(x.mean()), f"one-sided t({len(x) - 1}) over {unit}"
    if n == 1:
        return Estimate(mean, None, None, level, method, n, unit, None, None, "undefined at n = 1", "lower")
    se = float(x.std(ddof=1)) / math.sqrt(n)
    low = mean - float(stats.t.ppf(level, n - 1)) * se
    note = too_few(n, unit) if n < MIN_UNITS else _varies(se, unit)
    return Estimate(mean, low, None, level, method, n, unit, se, n - 1, note, "lower")


def _jackknife(value: float, without: NDArray[np.float64], level: float, method: str, unit: str) -> Estimate:
    n = len(without)
    variance = (n - 1) / n * float(((without - without.mean()) ** 2).sum())
    se = math.sqrt(variance)
    return estimate(value, se, n - 1, level=level, method=method, n=n, unit=unit, note=_varies(se, unit))


def combined(terms: Terms, unit: str) -> NDArray[np.float64]:
    """The sum of weight * matrix [S, S], with a zero diagonal.

    Raises:
        UserError: as `pair_contrast`.
    """
    if not terms:
        raise UserError("a contrast needs at least one matrix")
    matrices = [_square(matrix, unit) for _, matrix in terms]
    if len({m.shape for m in matrices}) != 1:
        sizes = ", ".join(str(len(m)) for m in matrices)
        raise UserError(
            f"the matrices hold {sizes} {unit}: a contrast needs the same ones; else use independent_difference"
        )
    return np.sum([weight * m for (weight, _), m in zip(terms, matrices, strict=True)], axis=0)


def _square(matrix: ArrayLike, unit: str) -> NDArray[np.float64]:
    """Float64 copy with a zero diagonal."""
    m = np.array(matrix, dtype=np.float64)
    if m.ndim != 2 or m.shape[0] != m.shape[1]:
        raise UserError(f"a pair matrix is square, one row per {_one(unit)}; this one has shape {m.shape}")
    if len(m) < 2:
        raise UserError(f"a mean over pairs needs at least two {unit}")
    np.fill_diagonal(m, 0.0)
    if not np.isfinite(m).all():
        i, j = np.argwhere(~np.isfinite(m))[0]
        raise UserError(f"the pair ({i}, {j}) has no value: measure it, or leave that {_one(unit)} out by name")
    if not np.allclose(m, m.T, rtol=1e-6, atol=1e-9):
        raise UserError("a pair matrix is symmetric; average the two directions first")
    return (m + m.T) / 2


def _values(values: ArrayLike, unit: str) -> NDArray[np.float64]:
    x = np.array(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise UserError(f"one value per {_one(unit)} is needed; the shape given is {x.shape}")
    if not np.isfinite(x).all():
        raise UserError(
            f"{_one(unit)} {int(np.argmin(np.isfinite(x)))} has no value: leave it out by name, or measure it"
        )
    return x


def _one(unit: str) -> str:
    return "dictionary" if unit == "dictionaries" else unit.removesuffix("s")


def _varies(se: float, unit: str) -> str:
    return "" if se > 1e-12 else f"no variation between {unit}: are they copies?"
