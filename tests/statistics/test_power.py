"""How many units would settle a question: the rule restated, formulas written out, and simulated studies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from husai.errors import UserError
from husai.statistics.decision import call
from husai.statistics.estimate import Estimate, estimate
from husai.statistics.intervals import lower_bound_over_seeds, pair_contrast, pair_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.statistics.power import (
    LIKELY,
    Spread,
    chance_to_settle,
    components,
    pair_units_needed,
    units_needed,
)
from simulated_arms import Process

M = 0.05


def made(value: float, se: float, n: int = 5, unit: str = "seeds", df: float | None = None) -> Estimate:
    return estimate(value, se, n - 1 if df is None else df, level=0.95, method="test", n=n, unit=unit)


def leaves(value: float, se: float, df: float, claims: int = 1) -> bool:
    """The rule of the definitions, written out."""
    t95, t90 = (stats.t.ppf(1 - p / claims, df) * se for p in (0.025, 0.05))
    return value - t95 > M or value + t95 < M or (value - t90 > -M and value + t90 < M)


@given(st.floats(-0.3, 0.3), st.floats(0.002, 0.2), st.integers(5, 30), st.integers(1, 6))
def test_the_smallest_number_at_which_the_rule_calls(value: float, se: float, n: int, claims: int) -> None:
    found = units_needed(made(value, se, n), M, claims, most=400)
    at = lambda k: leaves(value, se * math.sqrt(n / k), k - 1, claims)  # noqa: E731
    if found.n is None:
        assert not at(400)
        assert "even 400 seeds would not settle it" in found.words()
    else:
        assert at(found.n)
        assert found.n == 5 or not at(found.n - 1)
        assert found.outcome == ("beyond" if value > M else "not beyond")
    assert (found.said == "undecided") == (not at(n))
    assert (found.said == "undecided") == (found.n is None or found.n > n)


@given(st.floats(-0.3, 0.3), st.floats(0.002, 0.1), st.floats(1.0, 3.0), st.integers(5, 12))
def test_a_larger_spread_never_needs_fewer(value: float, se: float, factor: float, n: int) -> None:
    few, many = (units_needed(made(value, x, n), M).n for x in (se, factor * se))
    assert many is None or (few is not None and few <= many)


@given(st.floats(-0.3, 0.3), st.floats(0.002, 0.1), st.integers(1, 5))
def test_more_claims_never_need_fewer(value: float, se: float, claims: int) -> None:
    one, more = (units_needed(made(value, se), M, c).n for c in (1, claims))
    assert more is None or (one is not None and one <= more)


@given(st.floats(-0.2, 0.2), st.floats(0.005, 0.05), st.floats(3.0, 20.0))
def test_a_welch_estimate_keeps_the_shape_of_its_degrees_of_freedom(value: float, se: float, df: float) -> None:
    found = units_needed(made(value, se, 6, df=df), M, most=300)
    at = lambda k: leaves(value, se * math.sqrt(6 / k), df * (k - 1) / 5)  # noqa: E731
    assert at(found.n) if found.n is not None else not at(300)
    assert found.n in (None, 5) or not at(found.n - 1)


def test_words() -> None:
    found = units_needed(made(0.2, 0.08))
    assert found.n == 8 and found.chance is not None and found.likely == 14
    assert found.words() == (
        "8 seeds would settle it if the difference stays 0.2 (now 5), with a chance of 53 %, 14 seeds with a chance of "
        "80 %; supposing that the error falls as 1 / sqrt(n)"
    )
    both = units_needed(made(0.0, 0.03, unit="seeds, 8 models"))
    assert both.words().startswith(
        "7 seeds, 12 models would settle it if the difference stays 0 (now 5 seeds, 8 models)"
    )
    assert both.outcome == "not beyond" and "n of each kind" in both.words()
    assert units_needed(made(0.2, 0.01)).words() == "settled by 5 seeds: beyond, D = 0.2, margin 0.05"
    near = units_needed(made(0.0501, 0.02))
    assert near.n is None and near.likely is None and near.chance is None
    assert near.words().startswith("the difference 0.0501 lies so near the margin 0.05, for its spread, that even 1000")


def test_without_a_spread_there_is_no_number() -> None:
    few = units_needed(pair_mean(np.full((4, 4), 0.06)))
    assert (few.n, few.outcome) == (None, "too few units")
    assert few.words() == "no spread is known: too few seeds (4 < 5)"
    assert pair_units_needed([(1.0, np.full((4, 4), 0.06))]).words() == few.words()
    copies = units_needed(pair_mean(np.full((6, 6), 0.06)))
    assert copies.n is None and "are they copies?" in replace(copies, said="undecided").words()


def test_what_takes_part_in_no_verdict_is_refused() -> None:
    for wrong in (legacy_pair_bootstrap(np.full((5, 5), 0.4), draws=20), lower_bound_over_seeds([0.1, 0.2, 0.3])):
        with pytest.raises(UserError, match="takes part in no verdict"):
            units_needed(wrong)
    with pytest.raises(UserError, match="fix one above 0"):
        units_needed(made(0.2, 0.1), margin=0.0)


@given(st.integers(5, 12), st.floats(0.0, 1.0), st.integers(0, 2**16))
def test_the_components_give_back_the_jackknife_at_the_number_there_is(n: int, seed: float, number: int) -> None:
    C = Process(seed, 1.0).arm(np.random.default_rng(number), n, 0.3)
    D, parts = pair_contrast([(1.0, C)]), components([(1.0, C)])
    assert D.se is not None and parts.value == pytest.approx(D.value)
    if parts.seed > 0:
        assert parts.spread(n).se == pytest.approx(D.se)
    else:  # seeds vary less than pairs explain: all is of pairs, and the error is not below the jackknife's
        assert parts.spread(n).se >= D.se * (1 - 1e-12)


@pytest.mark.parametrize("process", [Process(1.0, 0.5), Process(0.5, 1.0), Process(1.0, 1.0)])
def test_the_components_are_right_on_average_and_so_is_what_is_read_from_them(process: Process) -> None:
    rng = np.random.default_rng(0)
    found = [components([(1.0, process.arm(rng, 12))]) for _ in range(800)]
    assert np.mean([f.seed for f in found]) == pytest.approx(process.seed**2, rel=0.08)
    assert np.mean([f.pair for f in found]) == pytest.approx(process.pair**2, rel=0.08)
    for n in (5, 9):  # of fewer seeds than were measured, for these can be simulated cheaply
        means = [pair_mean(process.arm(rng, n)) for _ in range(1500)]
        expected = np.sqrt(np.mean([f.spread(n).se ** 2 for f in found]))
        assert np.sqrt(np.mean([(e.se or 0) ** 2 for e in means])) == pytest.approx(expected, rel=0.06)
        true = np.sqrt(np.mean([f.spread(n).sd ** 2 for f in found]))
        assert np.std([e.value for e in means]) == pytest.approx(true, rel=0.06)


def test_pairs_need_fewer_seeds_than_the_square_root_says() -> None:
    C = Process(0.02, 0.4).arm(np.random.default_rng(5), 6, 0.2)
    D = pair_contrast([(1.0, C)])
    root, parts = units_needed(D), pair_units_needed([(1.0, C)])
    assert root.n is not None and parts.n is not None and 6 < parts.n < root.n
    assert "that of pairs as 1 / (n (n - 2))" in parts.words()
    wide = pair_units_needed([(1.0, C), (-1.0, np.zeros((6, 6)))])
    assert wide == parts


SETTLING = [(0.12, 1), (-0.04, 1), (0.0, 1), (0.03, 1), (0.12, 6)]


@pytest.mark.parametrize(("value", "claims"), SETTLING)
def test_as_many_simulated_studies_are_settled_as_is_said(value: float, claims: int) -> None:
    """The recommended numbers, from the true spread; studies of that size drawn afresh and judged by the rule."""
    process, rng = Process(0.05, 0.07), np.random.default_rng(1)
    true = components([(1.0, process.arm(rng, 300))])
    spread = lambda n: replace(true, seed=process.seed**2, pair=process.pair**2).spread(n)  # noqa: E731
    found = units_needed(made(value, spread(8).se, 8), M, claims)
    assert found.n is not None and found.likely is not None and found.n < found.likely
    for n in (found.n, found.likely):
        said = [call(pair_mean(process.arm(rng, n, value)), M, claims)[0] for _ in range(400)]
        assert np.mean([s != "undecided" for s in said]) == pytest.approx(
            chance_to_settle(value, spread(n), M, claims), abs=0.07
        )


def test_the_chance_of_independent_values_is_exact() -> None:
    """One value per unit: the t of the definitions, simulated."""
    rng, n, value, sd = np.random.default_rng(2), 9, 0.09, 0.05
    x = value + sd * rng.standard_normal((40_000, n))
    se = x.std(axis=1, ddof=1) / math.sqrt(n)
    settled = [leaves(v, s, n - 1) for v, s in zip(x.mean(axis=1)[:4000], se[:4000], strict=True)]
    spread = Spread(sd / 3, sd / 3, n - 1)
    assert np.mean(settled) == pytest.approx(chance_to_settle(value, spread, M), abs=0.025)
    beyond = stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, (value - M) / spread.se)
    assert chance_to_settle(value, spread, M) == pytest.approx(beyond, abs=0.003)


@given(st.floats(-0.2, 0.3), st.floats(0.005, 0.1))
def test_the_likely_number_is_the_smallest_with_that_chance(value: float, se: float) -> None:
    found = units_needed(made(value, se), M, most=300)
    chance = lambda k: chance_to_settle(value, Spread(se * math.sqrt(5 / k), se * math.sqrt(5 / k), k - 1), M)  # noqa: E731
    if found.likely is not None:
        assert chance(found.likely) >= LIKELY
        assert found.likely == 5 or chance(found.likely - 1) < LIKELY
