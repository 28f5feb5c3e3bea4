"""Sign-flip and Wilcoxon over units: exact, refused below six."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from husai.errors import UserError
from husai.statistics.tests import sign_flip, t_p_value, wilcoxon


@pytest.mark.parametrize("test", [sign_flip, wilcoxon])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_refused_below_six_units(test, n: int) -> None:
    with pytest.raises(UserError, match="no paired test below 6 seeds"):
        test(np.arange(n) + 1.0)


def test_six_clear_differences_reach_the_smallest_p_value() -> None:
    x = [0.1, 0.2, 0.3, 0.15, 0.25, 0.05]
    for test in (sign_flip, wilcoxon):
        assert test(x).p_value == pytest.approx(2 / 64)
        assert test(x, "greater").p_value == pytest.approx(1 / 64)
        assert test(-np.array(x), "greater").p_value == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_agrees_with_scipy_without_ties(seed: int) -> None:
    x = np.random.default_rng(seed).normal(0.3, 1, 9)
    assert wilcoxon(x).p_value == pytest.approx(stats.wilcoxon(x, method="exact").pvalue)
    assert wilcoxon(x, "greater").p_value == pytest.approx(
        stats.wilcoxon(x, alternative="greater", method="exact").pvalue
    )


@pytest.mark.parametrize("seed", range(5))
def test_sign_flip_agrees_with_scipy(seed: int) -> None:
    x = np.random.default_rng(seed).normal(0.3, 1, 8)
    reference = stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False)
    assert sign_flip(x).p_value == pytest.approx(reference.pvalue)
    assert sign_flip(x).statistic == pytest.approx(x.mean())


def test_many_units_are_drawn_from_a_named_stream() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, 30)
    got = sign_flip(x)
    assert got.p_value == sign_flip(x).p_value
    assert got.p_value == pytest.approx(stats.ttest_1samp(x, 0).pvalue, abs=0.02)
    assert 0 < sign_flip(np.ones(40)).p_value < 1e-4


def test_no_difference_at_all_is_no_evidence() -> None:
    assert sign_flip(np.zeros(6)).p_value == 1.0
    assert wilcoxon([0, 0, 0, 0, 0, 1.0]).p_value == 1.0


def test_one_difference_per_unit() -> None:
    with pytest.raises(UserError, match="one finite difference"):
        sign_flip(np.ones((6, 6)))
    with pytest.raises(UserError, match="one finite difference"):
        wilcoxon([1, 2, 3, 4, 5, float("nan")])


def test_t_p_value() -> None:
    x = np.array([0.2, 0.1, 0.4, 0.3, 0.5])
    se = x.std(ddof=1) / np.sqrt(5)
    assert t_p_value(x.mean(), se, 4) == pytest.approx(stats.ttest_1samp(x, 0).pvalue)
    with pytest.raises(UserError, match="standard error above 0"):
        t_p_value(1.0, 0.0, 4)


def test_rejection_rate_under_the_null() -> None:
    rng = np.random.default_rng(5)
    p = np.array([sign_flip(rng.normal(size=8)).p_value for _ in range(1500)])
    assert 0.03 <= (p <= 0.05).mean() <= 0.065
