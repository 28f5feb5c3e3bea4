"""Two descriptors of the spectrum, two names, against their definitions on the rows themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.activations.spectrum import covariance, effective_rank, participation_ratio


def by_definition(x: np.ndarray) -> tuple[float, float]:
    s = np.linalg.svd(x - x.mean(0), compute_uv=False)
    p, variances = s / s.sum(), s**2 / len(x)
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum())), float(variances.sum() ** 2 / (variances**2).sum())


@settings(max_examples=40, deadline=None)
@given(n=st.integers(20, 200), d=st.integers(1, 15), rank=st.integers(1, 15), seed=st.integers(0, 99))
def test_they_are_their_definitions(n, d, rank, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, min(rank, d))) @ rng.standard_normal((min(rank, d), d)) + 3
    rank_expected, ratio_expected = by_definition(x)
    found = covariance(x)
    assert effective_rank(found) == pytest.approx(rank_expected, rel=1e-5)
    assert participation_ratio(found) == pytest.approx(ratio_expected, rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 64])
def test_flat_and_single_spectra(d):
    assert effective_rank(np.eye(d) * 5) == pytest.approx(d)
    assert participation_ratio(np.eye(d) * 5) == pytest.approx(d)
    single = np.zeros((d, d))
    single[0, 0] = 7
    assert effective_rank(single) == pytest.approx(1)
    assert participation_ratio(single) == pytest.approx(1)


def test_the_two_are_not_the_same_number():
    spectrum = np.diag([100.0, 1.0, 1.0, 1.0])
    assert participation_ratio(spectrum) == pytest.approx(103**2 / 10_003)
    s = np.array([10, 1, 1, 1]) / 13
    assert effective_rank(spectrum) == pytest.approx(np.exp(-(s * np.log(s)).sum()))
    assert effective_rank(spectrum) > 2 * participation_ratio(spectrum)


def test_scale_and_rotation_do_not_matter():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    base = np.diag([6.0, 5, 4, 3, 2, 1])
    for measure in (effective_rank, participation_ratio):
        assert measure(1e-6 * q @ base @ q.T) == pytest.approx(measure(base), rel=1e-9)
