"""What must hold for any two dictionaries, whatever their shape (F < D, F = D, F > D)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.stability.metrics import mcc_abs, mcc_signed, mean_max_cos, shared_at, subspace_overlap

Metric = Callable[[np.ndarray, np.ndarray], float]


def shared(A: np.ndarray, B: np.ndarray) -> float:
    return shared_at(A, B, A + 0.1 * A[:, ::-1], B + 0.1 * B[:, ::-1], 0.3)


def subspace(A: np.ndarray, B: np.ndarray) -> float:
    return subspace_overlap(A, B, 1)


METRICS: list[Metric] = [mcc_signed, mcc_abs, mean_max_cos, shared, subspace]
each_metric = pytest.mark.parametrize("metric", METRICS)
seeds = st.integers(0, 2**31)
sizes = st.integers(2, 7)


def two(seed: int, n: int, m: int, d: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, rng.standard_normal((n, d)), rng.standard_normal((m, d))


@each_metric
@given(seed=seeds, n=sizes, m=sizes, d=sizes)
def test_symmetric(metric: Metric, seed: int, n: int, m: int, d: int) -> None:
    _, A, B = two(seed, n, m, d)
    assert metric(A, B) == pytest.approx(metric(B, A), abs=1e-12)


@each_metric
@given(seed=seeds, n=sizes, m=sizes, d=sizes)
def test_order_of_features_does_not_matter(metric: Metric, seed: int, n: int, m: int, d: int) -> None:
    rng, A, B = two(seed, n, m, d)
    assert metric(A[rng.permutation(n)], B[rng.permutation(m)]) == pytest.approx(metric(A, B), abs=1e-9)


@each_metric
@given(seed=seeds, n=sizes, m=sizes, d=sizes)
def test_length_of_features_does_not_matter(metric: Metric, seed: int, n: int, m: int, d: int) -> None:
    rng, A, B = two(seed, n, m, d)
    assert metric(A * rng.uniform(0.1, 10, (n, 1)), B) == pytest.approx(metric(A, B), abs=1e-9)


@pytest.mark.parametrize("metric", [mcc_signed, mcc_abs, mean_max_cos])
@given(seed=seeds, n=sizes, m=sizes, d=sizes)
def test_rotating_the_space_does_not_matter(metric: Metric, seed: int, n: int, m: int, d: int) -> None:
    rng, A, B = two(seed, n, m, d)
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    assert metric(A @ Q, B @ Q) == pytest.approx(metric(A, B), abs=1e-9)


@pytest.mark.parametrize("metric", [mcc_abs, mean_max_cos, subspace])
@given(seed=seeds, n=sizes, m=sizes, d=sizes)
def test_sign_does_not_matter_to_the_absolute_ones(metric: Metric, seed: int, n: int, m: int, d: int) -> None:
    rng, A, B = two(seed, n, m, d)
    assert metric(A * rng.choice([-1.0, 1.0], (n, 1)), B) == pytest.approx(metric(A, B), abs=1e-9)


@given(seed=seeds, n=sizes, m=sizes, d=sizes)
def test_flipping_both_does_not_matter_to_the_signed_one(seed: int, n: int, m: int, d: int) -> None:
    _, A, B = two(seed, n, m, d)
    assert mcc_signed(-A, -B) == pytest.approx(mcc_signed(A, B), abs=1e-12)


@each_metric
@given(seed=seeds, n=sizes, d=sizes)
def test_identity_is_one(metric: Metric, seed: int, n: int, d: int) -> None:
    rng, A, _ = two(seed, n, n, d)
    assert metric(A, A) == pytest.approx(1, abs=1e-12)
    assert metric(A, A[rng.permutation(n)]) == pytest.approx(1, abs=1e-9)


@given(seed=seeds, n=sizes, m=sizes, d=sizes)
def test_bounds(seed: int, n: int, m: int, d: int) -> None:
    _, A, B = two(seed, n, m, d)
    signed, absolute, loose = mcc_signed(A, B), mcc_abs(A, B), mean_max_cos(A, B)
    assert -1 <= signed <= absolute <= 1 and 0 <= loose <= 1
    assert absolute <= min(n, m) / max(n, m) + 1e-12
    if n == m:
        assert absolute <= loose + 1e-12


@given(seed=seeds, n=sizes, d=sizes, pad=st.integers(1, 4))
def test_padding_with_dead_latents_of_zeros(seed: int, n: int, d: int, pad: int) -> None:
    """Zero rows add nothing to the sum; only the larger count grows."""
    _, A, B = two(seed, n, n, d)
    zeros = np.zeros((pad, d))
    expected = mcc_abs(A, B) * n / (n + pad)
    assert mcc_abs(np.vstack([A, zeros]), B) == pytest.approx(expected, abs=1e-9)
    assert mcc_abs(np.vstack([A, zeros]), np.vstack([B, zeros])) == pytest.approx(expected, abs=1e-9)
