"""The screen never loses a latent: what exact products select from its candidates is what they select from all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.training.engines.kernels.rounding import centre_rows
from husai.training.engines.kernels.rows import code_rows
from husai.training.engines.kernels.screen import kth_bits
from husai.training.engines.screening import Found, Rounded, Screen, tile_rows

KINDS = ("gaussian", "outlying dimensions", "shared sparse", "copies", "heavy rows", "large mean")


def data(kind: str, n: int, d_in: int, d_sae: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and encoder weights, float32."""
    x, W = rng.standard_normal((n, d_in)), rng.standard_normal((d_sae, d_in))
    if kind == "outlying dimensions":  # as in language models, and shared by rows and latents
        x[:, :2] *= 100
        W[: d_sae // 4, :2] *= 30
    elif kind == "shared sparse":
        x, W = x * (rng.random(x.shape) < 0.05), W * (rng.random(W.shape) < 0.05)
    elif kind == "copies":  # ties, exact and near
        W[d_sae // 2 :] = W[: d_sae - d_sae // 2]
        W[-3:] *= 1 + 1e-6
    elif kind == "heavy rows":
        x *= rng.standard_cauchy((n, 1))
    elif kind == "large mean":
        x += 20 * rng.standard_normal(d_in)
    return x.astype(np.float32), (W / np.sqrt(d_in)).astype(np.float32)


def selections(x, W, b, k: int, rounded: bool, signed: bool = False) -> tuple[tuple, tuple, np.ndarray]:
    """Codes from the screen's candidates, codes from all latents, candidates per row."""
    n, d_in, d_sae = len(x), x.shape[1], len(W)
    centred, square, columns = np.zeros_like(x), np.zeros(n, x.dtype), np.zeros((n // 64 + 1, d_in), x.dtype)
    centre_rows(x, np.zeros(d_in, x.dtype), centred, square, columns)
    bits, x_bits = (Rounded(d_sae, d_in), Rounded(n, d_in)) if rounded else (None, None)
    if bits is not None and x_bits is not None:
        bits.fill(W, 0, d_sae)
        x_bits.fill(centred, 0, n)
    screen, found = Screen(W, b, bits), Found.room(n, d_sae, k, x.dtype, rounded)
    screen.candidates(centred, square, x_bits, k, found, signed)
    values = np.zeros(d_sae, x.dtype)
    scratch = np.zeros(d_sae, np.int32), values, values.view(f"i{x.dtype.itemsize}"), np.zeros(d_sae, np.int8)
    made = []
    for count in (found.count_T, np.full(n, -1, np.int32)):
        codes = np.zeros((n, k), np.int32), np.zeros(n, np.int32), np.zeros((n, k), x.dtype), np.zeros((n, k), x.dtype)
        code_rows(
            centred, centred, (W, b, W), (found.number_TC, count), signed, x.dtype.type(0), scratch, codes,
            np.zeros_like(x), np.zeros(n, x.dtype), columns,
        )  # fmt: skip
        made.append(codes)
    return made[0], made[1], np.where(found.count_T < 0, d_sae, found.count_T)


def check(kind: str, n: int, d_in: int, d_sae: int, k: int, rounded: bool, seed: int, dtype=np.float32) -> float:
    rng = np.random.default_rng(seed)
    x, W = data(kind, n, d_in, d_sae, rng)
    b = (0.3 * rng.standard_normal(d_sae) - 0.1).astype(dtype)
    screened, full, count = selections(x.astype(dtype), W.astype(dtype), b, k, rounded)
    for got, wanted in zip(screened[:3], full[:3], strict=True):
        np.testing.assert_array_equal(got, wanted)
    order = np.argsort(-np.maximum(x.astype(np.float64) @ W.T.astype(np.float64) + b, 0), kind="stable", axis=1)[:, :k]
    same = np.mean([set(row[:a]) <= set(o) for row, a, o in zip(full[0], full[1], order, strict=True)])
    assert same > (0.2 if kind == "copies" else 0.99)  # float64 decides differently only where float32 rounds to a tie
    return float(count.mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize(("d_in", "d_sae", "k"), [(32, 512, 8), (16, 130, 30), (64, 77, 1)])
def test_the_screen_loses_nothing(kind: str, rounded: bool, d_in: int, d_sae: int, k: int) -> None:
    check(kind, 1500, d_in, d_sae, k, rounded, seed=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounded", [True, False])
def test_the_screen_of_absolute_values_loses_nothing(kind: str, rounded: bool) -> None:
    rng = np.random.default_rng(5)
    x, W = data(kind, 1000, 24, 300, rng)
    b = (0.3 * rng.standard_normal(300) - 0.1).astype(np.float32)
    screened, full, _ = selections(x, W, b, 8, rounded, signed=True)
    for got, wanted in zip(screened[:3], full[:3], strict=True):
        np.testing.assert_array_equal(got, wanted)
    z = x.astype(np.float64) @ W.T.astype(np.float64) + b
    order = np.argsort(-np.abs(z), kind="stable", axis=1)[:, :8]
    same = np.mean([set(row[:a]) <= set(o) for row, a, o in zip(full[0], full[1], order, strict=True)])
    assert same > (0.2 if kind == "copies" else 0.99)
    chosen = np.take_along_axis(z, full[0], axis=1)
    assert (full[2] < 0).any() and np.allclose(full[2], chosen, rtol=1e-3, atol=1e-3 * np.abs(z).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.2, 1.0])
def test_the_screen_of_a_number_that_codes_must_reach_loses_nothing(kind: str, rounded: bool, share: float) -> None:
    """The number is what that share of all pre-activations reach; with 1 it is 0, and all that are positive do."""
    rng = np.random.default_rng(6)
    x, W = data(kind, 1500, 32, 512, rng)
    b = (0.3 * rng.standard_normal(512) - 0.1).astype(np.float32)
    z = x.astype(np.float64) @ W.T.astype(np.float64) + b
    reach = np.float32(max(0.0, np.quantile(z, 1 - share)))
    bits, x_bits = (Rounded(512, 32), Rounded(1500, 32)) if rounded else (None, None)
    if bits is not None and x_bits is not None:
        bits.fill(W, 0, 512)
        x_bits.fill(x, 0, 1500)
    found = Found.room(1500, 512, 8, x.dtype, rounded, most=512)
    Screen(W, b, bits).reaching(x, np.square(x).sum(1), x_bits, reach, found)
    assert (found.count_T >= 0).all()
    kept = np.zeros(z.shape, bool)
    for row, numbers, count in zip(kept, found.number_TC, found.count_T, strict=True):
        row[numbers[:count]] = True
        assert (np.diff(numbers[:count]) > 0).all()
    assert kept[(z >= reach) & (z > 0)].all() and kept.mean() < 0.95
    assert share > 0.01 or kind in ("outlying dimensions", "large mean") or kept.mean() < 0.02


def test_the_screen_loses_nothing_in_float64() -> None:
    check("gaussian", 500, 32, 512, 8, rounded=False, seed=2, dtype=np.float64)


def test_the_screen_leaves_a_handful_of_candidates() -> None:
    assert check("gaussian", 1000, 256, 4096, 32, rounded=True, seed=3) < 60
    assert check("gaussian", 1000, 256, 4096, 32, rounded=False, seed=3) < 36


@given(st.lists(st.integers(-0x8000, 0x7FFE), min_size=1, max_size=200), st.integers(1, 40), st.integers(0, 0x7FFF))
def test_the_threshold_is_reached_by_k_and_hardly_more_wherever_the_search_begins(bits, k: int, guess: int) -> None:
    values = np.array(bits, np.int16)
    found = kth_bits(values, k, np.int32(guess))
    if (values > 0).sum() < k:
        assert found == 0
        return
    assert found > 0 and (values >= found).sum() >= k
    assert (values >= found).sum() <= k + k // 8 or (values > found).sum() < k  # more only where there are ties


def test_ties_go_to_the_lowest_number() -> None:
    x, W = np.ones((3, 8), np.float32), np.ones((50, 8), np.float32)
    for rounded in (True, False):
        (index, active, value, _), _, _ = selections(x, W, np.zeros(50, np.float32), 4, rounded)
        assert index.tolist() == [[0, 1, 2, 3]] * 3 and active.tolist() == [4] * 3 and (value == 8).all()


def test_rows_without_enough_positive_latents_have_fewer_codes() -> None:
    x, W = np.ones((2, 8), np.float32), -np.ones((50, 8), np.float32)
    W[[7, 30]] *= -1
    for rounded in (True, False):
        (index, active, value, _), _, _ = selections(x, W, np.zeros(50, np.float32), 4, rounded)
        assert index.tolist() == [[7, 30, -1, -1]] * 2 and active.tolist() == [2, 2]
        assert value.tolist() == [[8, 8, 0, 0]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_over_a_million_rows_no_selection_differs(kind: str) -> None:
    for seed in range(12):
        check(kind, 16_384, 64, 1024, 16, rounded=True, seed=seed)


def test_a_tile_of_rows_fits_the_cache() -> None:
    assert [tile_rows(d_sae) for d_sae in (128, 4096, 5000, 8192, 65_536)] == [1024, 1024, 832, 512, 256]
