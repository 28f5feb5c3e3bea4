"""Floors against the golden numbers of the definitions and against independent draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import integrate, special

from husai.errors import UserError
from husai.stability.metrics import mcc_abs, mcc_signed, mean_max_cos
from husai.stability.nulls import (
    expected_max_abs_cos,
    floor_mcc,
    floor_mean_max_cos,
    floor_of,
    floor_subspace_overlap,
    normalise,
)

GOLDEN = [  # d, n, mcc_signed, mcc_abs, mean_max_cos
    (16, 32, 0.453, 0.520, 0.557),
    (128, 512, 0.255, 0.273, 0.2827),
    (128, 1024, 0.270, 0.287, 0.2988),
    (512, 1024, 0.138, 0.147, 0.1514),
]
CLOSED_FORM = [
    (128, 16, 0.1829), (128, 32, 0.2062), (128, 64, 0.2275), (128, 128, 0.2473), (128, 256, 0.2656),
    (512, 256, 0.1341), (512, 512, 0.1425), (512, 2048, 0.1594), (512, 4096, 0.1671),
]  # fmt: skip


@pytest.mark.parametrize(("d", "n", "signed", "absolute", "loose"), GOLDEN)
def test_golden_table(d: int, n: int, signed: float, absolute: float, loose: float) -> None:
    assert floor_mcc("mcc_signed", d, n, n).value == pytest.approx(signed, abs=0.003)
    assert floor_mcc("mcc_abs", d, n, n).value == pytest.approx(absolute, abs=0.003)
    assert floor_mean_max_cos(d, n, n).value == pytest.approx(loose, abs=0.001)


@pytest.mark.parametrize(("d", "n", "value"), CLOSED_FORM)
def test_golden_closed_forms(d: int, n: int, value: float) -> None:
    assert expected_max_abs_cos(d, n) == pytest.approx(value, abs=0.001)


def decoders(d: int, n: int, seeds: list[int]) -> list[np.ndarray]:
    """Columns of `torch.randn(d, n)` as feature rows."""
    draws = (torch.randn(d, n, generator=torch.Generator().manual_seed(s)) for s in seeds)
    return [w.numpy().T for w in draws]


def test_exact_draws_at_1024_features() -> None:
    W = decoders(128, 1024, [1000, 1001, 1002, 1003, 1004])
    values = [mean_max_cos(a, b, d_in=128) for a, b in itertools.combinations(W, 2)]
    assert np.mean(values) == pytest.approx(0.298829, abs=1e-6)
    assert min(np.std(values), np.std(values, ddof=1)) - 1e-6 <= 0.001076 <= np.std(values, ddof=1) + 1e-6
    assert np.mean(values) == pytest.approx(floor_mean_max_cos(128, 1024, 1024).value, abs=0.001)


def test_exact_draws_at_128_features() -> None:
    """F = D: nothing in the shape says which axis holds the features."""
    W = decoders(128, 128, [s + 100_000 for s in (42, 123, 456, 789, 1011)])
    values = [mean_max_cos(a, b, d_in=128) for a, b in itertools.combinations(W, 2)]
    assert np.mean(values) == pytest.approx(0.245556, abs=1e-6)


@pytest.mark.parametrize(("d", "n"), [(2, 1), (2, 5), (3, 7), (16, 32), (1000, 50), (4096, 30_000), (64, 10**6)])
def test_closed_form_by_adaptive_quadrature(d: int, n: int) -> None:
    def integrand(t: float) -> float:
        return 1 - special.betainc(0.5, (d - 1) / 2, t * t) ** n

    step = float(np.sqrt(2 * np.log(max(n, 2)) / d))
    knots = sorted({min(1.0, step * x) for x in (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3)} - {1.0})
    value = integrate.quad(integrand, 0, 1, points=knots, limit=500, epsabs=1e-10)[0]
    assert expected_max_abs_cos(d, n) == pytest.approx(value, abs=1e-7)


def test_closed_form_in_two_dimensions() -> None:
    assert expected_max_abs_cos(2, 1) == pytest.approx(2 / np.pi, abs=1e-6)
    assert expected_max_abs_cos(1, 3) == 1.0
    assert expected_max_abs_cos(5, 0) == 0.0


def test_the_floor_rises_with_features_and_falls_with_dimensions() -> None:
    n = [expected_max_abs_cos(64, m) for m in (1, 2, 8, 64, 512, 4096)]
    d = [expected_max_abs_cos(m, 100) for m in (2, 4, 16, 64, 256, 1024)]
    assert np.all(np.diff(n) > 0) and np.all(np.diff(d) < 0)


@pytest.mark.parametrize(("d", "n_a", "n_b"), [(24, 40, 12), (8, 3, 30), (32, 20, 20)])
def test_floors_at_unequal_sizes_against_fresh_draws(d: int, n_a: int, n_b: int) -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.standard_normal((n_a, d)), rng.standard_normal((n_b, d))) for _ in range(400)]
    for metric, floor in (
        (mean_max_cos, floor_mean_max_cos(d, n_a, n_b)),
        (mcc_signed, floor_mcc("mcc_signed", d, n_a, n_b)),
        (mcc_abs, floor_mcc("mcc_abs", d, n_a, n_b)),
    ):
        values = [metric(a, b) for a, b in pairs]
        error = 4 * np.hypot(np.std(values) / 20, floor.se)
        assert np.mean(values) == pytest.approx(floor.value, abs=error)


def test_draws_are_enough_deterministic_symmetric_and_described() -> None:
    floor = floor_mcc("mcc_signed", 16, 32, 24)
    assert 0 < floor.se < 0.001
    assert floor.made.startswith("mean of ") and "standard error" in floor.made
    assert floor.value == floor_mcc("mcc_signed", 16, 24, 32).value
    floor_mcc.__globals__["_draw"].cache_clear()
    assert floor == floor_mcc("mcc_signed", 16, 32, 24)
    assert floor.value != floor_mcc("mcc_signed", 16, 32, 24, root=1).value
    assert floor_mean_max_cos(16, 32, 24).made == "closed form"


def test_subspace_floor() -> None:
    assert floor_subspace_overlap(64, 16).value == 0.25


def test_floor_of_any_metric() -> None:
    assert floor_of("mean_max_cos", 16, 32, 32) == floor_mean_max_cos(16, 32, 32)
    assert floor_of("mcc_abs", 16, 8, 8) == floor_mcc("mcc_abs", 16, 8, 8)
    found = floor_of("subspace_overlap(4)", 16, 32, 32)
    assert found is not None and found.value == 0.25
    assert floor_of("shared_at(0.7)", 16, 32, 32) is None
    assert floor_of("mcc_signed", 16, 0, 32) is None


def test_normalised() -> None:
    assert normalise(0.3, 0.3) == 0 and normalise(1.0, 0.3) == 1
    assert normalise(0.65, 0.3) == pytest.approx(0.5)
    assert np.isnan(normalise(1.0, 1.0))


def test_bad_sizes() -> None:
    with pytest.raises(UserError, match="at least 1"):
        floor_mcc("mcc_signed", 16, 0, 4)
    with pytest.raises(UserError, match="not for 'shared_at'"):
        floor_mcc("shared_at", 16, 4, 4)
    with pytest.raises(UserError, match="d >= 1"):
        expected_max_abs_cos(0, 4)
