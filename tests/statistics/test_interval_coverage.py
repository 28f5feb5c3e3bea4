"""How often the intervals cover, by simulation over shares of seed variance from 0 to 1."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from husai.statistics.intervals import independent_difference, pair_mean
from husai.statistics.legacy import legacy_pair_bootstrap

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw(rng: np.random.Generator, share: float, reps: int, n: int = 5, skewed: bool = False) -> np.ndarray:
    """Matrices [reps, n, n] of mean 0 and unit variance, of which `share` comes from additive seed effects."""
    effect = rng.exponential(size=(reps, n)) - 1 if skewed else rng.standard_normal((reps, n))
    noise = np.triu(rng.standard_normal((reps, n, n)), 1)
    noise += noise.transpose(0, 2, 1)
    return np.sqrt(share / 2) * (effect[:, :, None] + effect[:, None, :]) + np.sqrt(1 - share) * noise


def jackknife_covers(matrices: np.ndarray) -> float:
    """Share of 95 % jackknife intervals that hold 0; the formula of `pair_mean` for all matrices at once."""
    n = matrices.shape[1]
    matrices = matrices * (1 - np.eye(n))
    rows = matrices.sum(axis=2)
    total = rows.sum(axis=1)
    without = (total[:, None] - 2 * rows) / ((n - 1) * (n - 2))
    se = np.sqrt((n - 1) / n * ((without - without.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))
    return float((np.abs(total / (n * (n - 1))) <= stats.t.ppf(0.975, n - 1) * se).mean())


def bootstrap_covers(rng: np.random.Generator, matrices: np.ndarray, draws: int = 400) -> float:
    """Share of 95 % percentile intervals over resampled pairs that hold 0."""
    i, j = np.triu_indices(matrices.shape[1], 1)
    pairs = matrices[:, i, j]
    means = pairs[:, rng.integers(0, len(i), size=(draws, len(i)))].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return float(((low <= 0) & (high >= 0)).mean())


def test_the_vectorised_simulation_is_the_shipped_interval() -> None:
    matrices = draw(np.random.default_rng(0), 0.5, 300)
    covered = [e.low <= 0 <= e.high for e in map(pair_mean, matrices) if e.low is not None and e.high is not None]
    assert len(covered) == 300
    assert jackknife_covers(matrices) == np.mean(covered)


def test_the_vectorised_bootstrap_is_the_shipped_replay() -> None:
    rng = np.random.default_rng(1)
    matrices = draw(rng, 1.0, 200)
    replays = [legacy_pair_bootstrap(m, draws=400) for m in matrices]
    covered = np.mean([(e.low or 0) <= 0 <= (e.high or 0) for e in replays])
    assert bootstrap_covers(rng, matrices) == pytest.approx(covered, abs=0.06)


@pytest.mark.parametrize("share", SHARES)
def test_coverage_in_short(share: float) -> None:
    covered = jackknife_covers(draw(np.random.default_rng(2), share, 4000))
    assert 0.93 <= covered <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 8, 12])
@pytest.mark.parametrize("share", [*SHARES, 0.1, 0.9])
def test_coverage_of_the_jackknife(share: float, n: int) -> None:
    covered = jackknife_covers(draw(np.random.default_rng(n), share, 200_000, n))
    print(f"jackknife, {n} seeds, share of seed variance {share}: {covered:.4f}")
    assert 0.93 <= covered <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_limit_of_the_jackknife_under_skewed_seed_effects(share: float) -> None:
    """Exponential seed effects: about 88 % at five seeds when they are all there is. Documented, not repaired."""
    covered = jackknife_covers(draw(np.random.default_rng(7), share, 200_000, skewed=True))
    print(f"jackknife, exponential seed effects, share {share}: {covered:.4f}")
    if share == 1.0:
        assert 0.84 <= covered <= 0.93
    else:
        assert 0.90 <= covered <= 0.995


@pytest.mark.slow
def test_bootstrapping_pairs_covers_about_half() -> None:
    rng = np.random.default_rng(3)
    for share in (0.75, 0.9, 1.0):
        covered = bootstrap_covers(rng, draw(rng, share, 4000))
        print(f"bootstrap over pairs, share {share}: {covered:.4f}")
        assert 0.40 <= covered <= 0.72
    assert 0.45 <= bootstrap_covers(rng, draw(rng, 1.0, 8000)) <= 0.57


@pytest.mark.slow
def test_coverage_of_the_difference_of_arms_with_own_seeds() -> None:
    rng = np.random.default_rng(4)
    for share_a, share_b, width in ((1.0, 1.0, 1.0), (1.0, 0.0, 3.0), (0.5, 1.0, 0.3)):
        a, b = draw(rng, share_a, 3000), width * draw(rng, share_b, 3000, 7)
        differences = [independent_difference(pair_mean(x), pair_mean(y)) for x, y in zip(a, b, strict=True)]
        covered = np.mean([(e.low or 0) <= 0 <= (e.high or 0) for e in differences])
        print(f"independent difference, shares {share_a} and {share_b}: {covered:.4f}")
        assert 0.93 <= covered <= 0.997
