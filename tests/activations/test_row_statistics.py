"""Statistics of the manifest against plain NumPy; the same bits whatever the shards; duplicates and tokens counted."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.activations.describe import describe_array
from husai.activations.uniqueness import near_row_hashes, row_hashes, token_statistics

RNG = np.random.default_rng(5)


def skewed(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 30 * rng.standard_normal(d)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 2500), d=st.integers(1, 12), seed=st.integers(0, 1000))
def test_moments_are_those_of_numpy(n, d, seed):
    x = skewed(n, d, seed)
    wide = x.astype(np.float64)
    found = describe_array(x)
    assert np.allclose(found.mean_D, wide.mean(0), rtol=1e-12, atol=1e-12)
    assert np.allclose(found.covariance_DD, np.cov(wide.T, bias=True), rtol=1e-9, atol=1e-9)
    assert found.mean_square_norm == pytest.approx((wide**2).sum(1).mean(), rel=1e-12)
    assert found.variance == pytest.approx(wide.var(0).sum(), rel=1e-9)
    assert found.rows_sha256 == hashlib.sha256(x.tobytes()).hexdigest()


def test_a_large_common_mean_costs_no_digits():
    small = RNG.standard_normal((3000, 4))
    x = (small + 10_000).astype(np.float32)
    wide = x.astype(np.float64) - 10_000
    found = describe_array(x)
    assert found.variance == pytest.approx(wide.var(0).sum(), rel=1e-9)
    assert np.allclose(found.covariance_DD, np.cov(wide.T, bias=True), rtol=1e-9)


def test_kurtosis_of_known_distributions():
    n = 60_000
    assert describe_array(RNG.standard_normal((n, 3)).astype("f4")).excess_kurtosis == pytest.approx(0, abs=0.06)
    assert describe_array(RNG.uniform(size=(n, 3)).astype("f4")).excess_kurtosis == pytest.approx(-1.2, abs=0.03)
    assert describe_array(RNG.laplace(size=(n, 3)).astype("f4")).excess_kurtosis == pytest.approx(3, abs=0.35)


def test_a_dead_dimension_does_no_harm():
    x = RNG.standard_normal((100, 3)).astype(np.float32)
    x[:, 1] = 2.5
    found = describe_array(x)
    assert np.isfinite(found.excess_kurtosis)
    assert found.variance == pytest.approx(x.astype(float).var(0).sum())


@pytest.mark.parametrize(("shard_rows", "block"), [(1, 1), (7, 300), (1000, 13), (1024, 1024), (5000, 999)])
def test_the_same_bits_whatever_the_shards_and_blocks(make_cache, shard_rows, block):
    x = skewed(2100, 5)
    n = 2100 if shard_rows > 1 else 40
    reference = describe_array(x[:n])
    cache = make_cache(x[:n], shard_rows=shard_rows, block=block)
    assert cache.mean_D.tobytes() == reference.mean_D.tobytes()
    assert cache.covariance_DD.tobytes() == reference.covariance_DD.tobytes()
    manifest = cache.manifest
    assert (manifest.variance, manifest.mean_square_norm) == (reference.variance, reference.mean_square_norm)
    assert (manifest.norms, manifest.rows, manifest.rows_sha256) == (
        reference.norms, reference.rows, reference.rows_sha256,
    )  # fmt: skip


def test_no_covariance_for_rows_that_are_too_wide(make_cache, monkeypatch):
    monkeypatch.setattr("husai.activations.describe.COVARIANCE_LIMIT", 3)
    cache = make_cache(skewed(50, 4))
    assert (cache.manifest.effective_rank, cache.manifest.participation_ratio) == (None, None)
    with pytest.raises(Exception, match=r"no covariance.*d_in=4"):
        _ = cache.covariance_DD


def test_unique_rows_and_repeats():
    base = RNG.standard_normal((209, 16)).astype(np.float32)
    x = base[np.concatenate([np.arange(209), RNG.integers(0, 209, 1000), np.zeros(300, dtype=int)])]
    found = describe_array(x).rows
    assert found.unique == found.near_unique == 209
    assert found.duplicate_share == pytest.approx(1 - 209 / 1509)
    counts = np.unique(x, axis=0, return_counts=True)[1]
    assert found.commonest_share == counts.max() / 1509


def test_repeats_that_differ_in_their_last_bits_are_seen_as_repeats():
    base = RNG.standard_normal((100, 32)).astype(np.float32)
    noise = 1 + 1e-7 * RNG.standard_normal((5, 100, 32))
    x = (base * noise).astype(np.float32).reshape(-1, 32)
    found = describe_array(x).rows
    assert found.unique > 400
    assert 100 <= found.near_unique <= 110


def test_different_rows_stay_different():
    x = RNG.standard_normal((5000, 8)).astype(np.float32)
    assert describe_array(x).rows.near_unique == 5000
    scaled = np.concatenate([x[:50] * 2.0**i for i in range(-3, 4)]).astype(np.float32)
    assert np.unique(near_row_hashes(scaled)).size == 350
    assert np.unique(near_row_hashes(-x[:50])).size == 50
    assert not np.intersect1d(near_row_hashes(x[:50]), near_row_hashes(-x[:50])).size


def test_hashes_know_the_extremes():
    x = np.array([[0.0, 0.0], [-0.0, 0.0], [1e-45, 0], [3e38, -3e38], [1e-45, 1e-45]], dtype=np.float32)
    for hashes in (row_hashes(x), near_row_hashes(x)):
        assert hashes[0] == hashes[1]
        assert np.unique(hashes).size == 4


def test_norms_tell_who_carries_the_variance():
    x = RNG.standard_normal((5000, 16)).astype(np.float32)
    calm = describe_array(x).norms
    assert (calm.outliers, calm.outlier_variance_share) == (0, 0.0)
    assert calm.top_rows == 5
    assert calm.top_rows_variance_share < 0.005
    assert 1500 < calm.rows_for_half_variance < 2500
    x[[17, 4000]] = 3000 * np.sign(RNG.standard_normal((2, 16))) / 4
    loud = describe_array(x).norms
    assert loud.outliers == 2
    assert loud.outlier_variance_share > 0.99
    assert loud.rows_for_half_variance == 2
    assert loud.quantiles["1"] == pytest.approx(3000, rel=1e-4)
    assert list(loud.quantiles.values()) == sorted(loud.quantiles.values())


def test_the_share_of_the_first_position_is_known_where_positions_are(make_cache):
    x = RNG.standard_normal((1000, 4)).astype(np.float32)
    positions = np.arange(1000) % 5
    x[positions == 0] *= 20
    norms = make_cache(x, positions=positions).manifest.norms
    rest = x[positions > 0]
    lost = 1 - ((rest - rest.mean(0)) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert norms.first_position_share == 0.2
    assert norms.first_position_variance_share == pytest.approx(lost, rel=1e-5)
    everywhere = make_cache(x, name="all", positions=np.zeros(1000, dtype=int)).manifest.norms
    assert (everywhere.first_position_share, everywhere.first_position_variance_share) == (1, 1)
    bare = make_cache(x, name="bare").manifest.norms
    assert (bare.first_position_share, bare.first_position_variance_share) == (None, None)


def table(kind: str, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, positions and rows that depend on the token, on the token and position, or on more."""
    rng = np.random.default_rng(9)
    tokens, positions = rng.integers(0, 7, n), rng.integers(0, 4, n)
    x = rng.standard_normal((7, 6))[tokens]
    if kind != "token":
        x = x + rng.standard_normal((4, 6))[positions]
    if kind == "context":
        x = x + 0.1 * rng.standard_normal((n, 6))
    return tokens, positions, x.astype(np.float32)


@pytest.mark.parametrize("kind", ["token", "token_and_position", "context"])
def test_what_rows_are_a_function_of(kind):
    tokens, positions, x = table(kind)
    found = token_statistics(tokens, positions, near_row_hashes(x))
    assert found.follows == kind
    counts = np.bincount(tokens)
    assert (found.unique, found.commonest, found.commonest_share) == (7, counts.argmax(), counts.max() / 400)


def test_what_cannot_be_known_is_not_claimed():
    x = RNG.standard_normal((20, 3)).astype(np.float32)
    found = token_statistics(np.arange(20), np.zeros(20, dtype=int), near_row_hashes(x))
    assert found.follows == "unknown"
    found = token_statistics(np.repeat(np.arange(10), 2), np.tile([0, 1], 10), near_row_hashes(x))
    assert found.follows == "unknown"
