"""Intervals over seeds, models and groups, against slow and independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from husai.errors import Refused, UserError
from husai.statistics.intervals import (
    at_level,
    cross_group_mean,
    independent_difference,
    lower_bound_over_seeds,
    nested_pair_mean,
    pair_contrast,
    pair_mean,
    pair_mean_difference,
    unit_mean,
)


def symmetric(seed: int, n: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, n))
    return (x + x.T) / 2


def slow_pair_mean(matrix: np.ndarray) -> float:
    n = len(matrix)
    return float(np.mean([matrix[i, j] for i in range(n) for j in range(i + 1, n)]))


def slow_jackknife(matrix: np.ndarray) -> tuple[float, float]:
    """Value and standard error by really leaving seeds out."""
    n = len(matrix)
    left = [slow_pair_mean(np.delete(np.delete(matrix, s, 0), s, 1)) for s in range(n)]
    return slow_pair_mean(matrix), math.sqrt((n - 1) / n * np.sum((np.array(left) - np.mean(left)) ** 2))


@given(st.integers(0, 10_000), st.integers(5, 9))
def test_the_jackknife_equals_really_leaving_seeds_out(seed: int, n: int) -> None:
    matrix = symmetric(seed, n)
    value, se = slow_jackknife(matrix)
    got = pair_mean(matrix)
    assert got.value == pytest.approx(value, abs=1e-12)
    assert got.se == pytest.approx(se, rel=1e-9)
    half = stats.t.ppf(0.975, n - 1) * se
    assert (got.low, got.high) == pytest.approx((value - half, value + half), rel=1e-9)
    assert (got.n, got.n_unit, got.df, got.sided) == (n, "seeds", n - 1, "two")


def test_additive_seed_effects_give_the_t_interval_of_their_mean() -> None:
    effect = np.array([0.1, -0.2, 0.05, 0.3, -0.1])
    got = pair_mean(effect[:, None] + effect[None, :])
    assert got.value == pytest.approx(2 * effect.mean())
    assert got.se == pytest.approx(2 * effect.std(ddof=1) / math.sqrt(5))


@given(st.integers(0, 10_000), st.integers(5, 8))
def test_order_of_seeds_and_the_diagonal_do_not_matter(seed: int, n: int) -> None:
    matrix = symmetric(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    moved = matrix[np.ix_(order, order)].copy()
    np.fill_diagonal(moved, np.nan)
    a, b = pair_mean(matrix), pair_mean(moved)
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))


def test_shift_and_scale() -> None:
    matrix = symmetric(1, 6)
    a, b = pair_mean(matrix), pair_mean(3 * matrix + 1)
    assert b.value == pytest.approx(3 * a.value + 1)
    assert b.se == pytest.approx(3 * (a.se or 0))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_below_five_seeds_there_is_a_point_and_no_interval(n: int) -> None:
    matrix = symmetric(0, n)
    got = pair_mean(matrix)
    assert got.value == pytest.approx(slow_pair_mean(matrix))
    assert (got.low, got.high, got.se, got.df) == (None, None, None, None)
    assert got.note == f"too few seeds ({n} < 5)"
    assert "too few seeds" in got.words()
    assert not at_level(got, 0.5).bounded


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones(5), "square"),
        (np.ones((1, 1)), "at least two seeds"),
        (np.triu(np.ones((5, 5))), "symmetric"),
    ],
)
def test_a_bad_matrix_is_refused(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pair_mean(matrix)


def test_a_missing_pair_is_never_averaged_away() -> None:
    matrix = symmetric(0, 6)
    matrix[2, 4] = matrix[4, 2] = np.nan
    with pytest.raises(UserError, match=r"pair \(2, 4\) has no value"):
        pair_mean(matrix)


def test_the_difference_of_shared_seeds_cancels_what_the_seeds_share() -> None:
    shared = symmetric(3, 6)
    got = pair_mean_difference(shared + 0.25, shared)
    assert got.value == pytest.approx(0.25)
    assert got.se == pytest.approx(0.0, abs=1e-12)
    assert "copies" in got.note


def test_a_contrast_is_the_jackknife_of_the_combination() -> None:
    A, B, C, D = (symmetric(s, 5) for s in range(4))
    got = pair_contrast([(1, A), (-1, B), (-1, C), (1, D)])
    value, se = slow_jackknife(A - B - C + D)
    assert (got.value, got.se) == (pytest.approx(value), pytest.approx(se))


def test_a_contrast_needs_the_same_seeds() -> None:
    with pytest.raises(UserError, match="independent_difference"):
        pair_mean_difference(symmetric(0, 5), symmetric(1, 6))
    with pytest.raises(UserError, match="at least one"):
        pair_contrast([])


def test_unit_mean_is_the_t_interval() -> None:
    x = [0.3, 0.5, 0.1, 0.4, 0.2]
    got = unit_mean(x)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(x), scale=stats.sem(x))
    assert (got.low, got.high, got.n_unit) == (pytest.approx(low), pytest.approx(high), "models")
    assert unit_mean(x[:4]).note == "too few models (4 < 5)"
    with pytest.raises(UserError, match="model 1 has no value"):
        unit_mean([0.1, float("nan")])
    with pytest.raises(UserError, match="one value per model"):
        unit_mean([])


def test_nested_pairs_count_models_not_seeds() -> None:
    matrices = [symmetric(s, 2 + s % 3) for s in range(5)]
    got = nested_pair_mean(matrices)
    expected = unit_mean([slow_pair_mean(m) for m in matrices])
    assert (got.value, got.se, got.n, got.n_unit) == (
        pytest.approx(expected.value),
        pytest.approx(expected.se),
        5,
        "models",
    )
    with pytest.raises(Refused, match="one draw"):
        nested_pair_mean([symmetric(0, 10)])


def test_independent_difference_is_welch() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 6), rng.normal(0, 3, 9)
    got = independent_difference(unit_mean(x), unit_mean(y))
    reference = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    assert (got.low, got.high) == (pytest.approx(reference.low), pytest.approx(reference.high))
    assert (got.n, got.n_unit) == (6, "models")


def test_independent_difference_needs_both_intervals() -> None:
    got = independent_difference(pair_mean(symmetric(0, 5)), unit_mean([0.1, 0.2]))
    assert not got.bounded
    assert (got.note, got.n, got.n_unit) == ("too few models (2 < 5)", 2, "models, 5 seeds")


def test_a_difference_of_seeds_and_models_counts_both() -> None:
    models = unit_mean([0.1, 0.2, 0.15, 0.3, 0.1])
    assert independent_difference(pair_mean(symmetric(0, 5)), models).words().endswith("n = 5 seeds, 5 models)")
    assert independent_difference(pair_mean(symmetric(0, 8)), models).words().endswith("n = 5 models, 8 seeds)")
    assert independent_difference(models, models).words().endswith("n = 5 models)")
    still = independent_difference(pair_mean(np.full((5, 5), 0.5)), unit_mean([0.25] * 5))
    assert still.note == "no variation between seeds or models: are they copies?"


def test_independent_difference_of_constants_has_no_width() -> None:
    got = independent_difference(unit_mean([1.0] * 5), unit_mean([0.5] * 5))
    assert (got.low, got.high) == (0.5, 0.5)
    assert "copies" in got.note


def test_cross_group_mean_uses_only_pairs_between_groups() -> None:
    groups = ["a", "a", "b", "b", "c", "d", "e", "e"]
    matrix = symmetric(5, len(groups))
    raised = matrix + 10 * (np.array(groups)[:, None] == np.array(groups)[None, :])  # agreement by construction
    got, same = cross_group_mean(matrix, groups), cross_group_mean(raised, groups)
    assert (got.value, got.se) == (pytest.approx(same.value), pytest.approx(same.se))

    def mean_without(left: str) -> float:
        kept = [i for i, g in enumerate(groups) if g != left]
        return float(np.mean([matrix[i, j] for i in kept for j in kept if groups[i] != groups[j]]))

    left = np.array([mean_without(g) for g in "abcde"])
    assert got.value == pytest.approx(mean_without(""))
    assert got.se == pytest.approx(math.sqrt(4 / 5 * ((left - left.mean()) ** 2).sum()))
    assert (got.n, got.df) == (5, 4)


def test_groups_of_one_are_seeds() -> None:
    matrix = symmetric(6, 6)
    a, b = cross_group_mean(matrix, range(6)), pair_mean(matrix)
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))


def test_cross_group_mean_below_five_groups() -> None:
    matrix = symmetric(0, 8)
    assert cross_group_mean(matrix, [0, 0, 1, 1, 2, 2, 3, 3]).note == "too few groups (4 < 5)"
    with pytest.raises(UserError, match="two groups"):
        cross_group_mean(matrix, [0] * 8)
    with pytest.raises(UserError, match="one for each"):
        cross_group_mean(matrix, [0, 1])


def test_lower_bound_over_seeds() -> None:
    x = np.array([0.2, 0.5, 0.4, 0.3, 0.1, 0.6])
    got = lower_bound_over_seeds(x)
    assert got.low == pytest.approx(x.mean() - stats.t.ppf(0.95, 5) * x.std(ddof=1) / math.sqrt(6))
    assert (got.high, got.sided) == (None, "lower")
    assert "one-sided" in got.words()
    assert lower_bound_over_seeds(x[:3]).note == "too few seeds (3 < 5)"


def test_the_lower_bound_of_one_seed_is_not_the_point() -> None:
    got = lower_bound_over_seeds([0.7])
    assert (got.value, got.low, got.note) == (0.7, None, "undefined at n = 1")


def test_at_level_makes_the_bounds_again() -> None:
    matrix = symmetric(2, 7)
    for level in (0.5, 0.9, 0.99):
        direct, again = pair_mean(matrix, level=level), at_level(pair_mean(matrix), level)
        assert (direct.low, direct.high, direct.level) == (again.low, again.high, again.level)
    one_sided = at_level(lower_bound_over_seeds([0.1, 0.2, 0.4, 0.3, 0.2]), 0.9)
    assert one_sided.high is None and one_sided.low == pytest.approx(
        lower_bound_over_seeds([0.1, 0.2, 0.4, 0.3, 0.2], 0.9).low
    )
    with pytest.raises(UserError, match="between 0 and 1"):
        at_level(pair_mean(matrix), 95)


def test_words_carry_the_numbers_and_the_unit() -> None:
    words = unit_mean([0.1, 0.2, 0.3, 0.4, 0.5]).words()
    assert words.startswith("0.3 (95 % interval 0.1037 to 0.4963") and words.endswith("n = 5 models)")
    assert unit_mean([0.1, 0.2, 0.3, 0.4, 0.5]).plain()["n"] == 5
