"""A Gaussian twin has the mean and covariance and nothing else; shuffling keeps marginals and breaks dependence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from husai.activations.spectrum import covariance
from husai.activations.surrogates import gaussian_twin, shuffled_dimensions, symmetric_root
from husai.errors import UserError
from husai.seeds import Role, generator

RNG = np.random.default_rng(2)
MIX = RNG.standard_normal((6, 6))
SIGMA = MIX @ MIX.T
MEAN = 10 * RNG.standard_normal(6)


def test_twin_has_the_mean_and_covariance_it_was_given():
    n = 200_000
    x = gaussian_twin(MEAN, SIGMA, n, seed=4)
    assert x.dtype == np.float32
    scale = np.sqrt(np.diag(SIGMA))
    assert np.abs((x.mean(0, dtype=float) - MEAN) / scale).max() < 5 / np.sqrt(n)
    error = (covariance(x) - SIGMA) / np.outer(scale, scale)
    assert np.abs(error).max() < 5 * np.sqrt(2 / n)


def test_twin_is_gaussian_in_every_direction():
    x = gaussian_twin(MEAN, SIGMA, 20_000, seed=1).astype(float) - MEAN
    white = x @ np.linalg.inv(np.linalg.cholesky(SIGMA)).T
    for direction in np.linalg.qr(RNG.standard_normal((6, 6)))[0]:
        assert stats.kstest(white @ direction, "norm").pvalue > 1e-4
    assert stats.kstest((white**2).sum(1), "chi2", args=(6,)).pvalue > 1e-4


def test_twin_of_a_low_rank_covariance_stays_in_its_subspace():
    basis = np.linalg.qr(RNG.standard_normal((10, 3)))[0]
    sigma = basis @ np.diag([4.0, 2.0, 1.0]) @ basis.T
    x = gaussian_twin(np.zeros(10), sigma, 500, seed=0)
    outside = x - x @ basis @ basis.T
    assert np.abs(outside).max() < 1e-5
    assert np.linalg.matrix_rank(x, tol=1e-2) == 3


def test_root_is_symmetric_and_squares_to_the_covariance():
    root = symmetric_root(SIGMA)
    assert np.allclose(root, root.T)
    assert np.allclose(root @ root, SIGMA)
    assert np.allclose(symmetric_root(np.eye(4)), np.eye(4))


def test_rows_are_a_function_of_seed_and_draw():
    x = gaussian_twin(MEAN, SIGMA, 5000, seed=7)
    assert np.array_equal(x, gaussian_twin(MEAN, SIGMA, 5000, seed=7))
    assert np.array_equal(x[:100], gaussian_twin(MEAN, SIGMA, 100, seed=7))
    for other in (gaussian_twin(MEAN, SIGMA, 100, seed=8), gaussian_twin(MEAN, SIGMA, 100, seed=7, draw=1)):
        assert np.abs(np.corrcoef(x[:100, 0], other[:, 0])[0, 1]) < 0.5
    z = generator(7, Role.SURROGATE, "gaussian", 0).standard_normal((4096, 6))  # its own named stream
    assert np.array_equal(x[:3], (z @ symmetric_root(SIGMA) + MEAN)[:3].astype(np.float32))


@pytest.mark.parametrize("n", [1, 3, 4097])
def test_the_number_of_rows_changes_no_bit(n):
    """A matrix product of other size may round differently, so whole blocks are always drawn."""
    mix = RNG.standard_normal((96, 96))
    whole = gaussian_twin(np.zeros(96), mix @ mix.T, 6000, seed=2)
    assert gaussian_twin(np.zeros(96), mix @ mix.T, n, seed=2).tobytes() == whole[:n].tobytes()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (np.diag([1.0, -0.5]), "negative"),
        (np.zeros((2, 2)), "no variance"),
    ],
)
def test_what_is_no_covariance_is_refused(matrix, message):
    with pytest.raises(UserError, match=message):
        gaussian_twin(np.zeros(2), matrix, 5, 0)


def test_mean_and_covariance_must_fit():
    with pytest.raises(UserError, match="belong together"):
        gaussian_twin(np.zeros(3), np.eye(2), 5, 0)


def test_shuffling_keeps_marginals_and_breaks_dependence():
    z = RNG.standard_normal((4000, 1))
    x = (np.hstack([z, 2 * z, -z]) + 0.01 * RNG.standard_normal((4000, 3)) + [5, 0, -5]).astype(np.float32)
    y = shuffled_dimensions(x, seed=3)
    assert y.dtype == np.float32
    assert np.array_equal(np.sort(y, axis=0), np.sort(x, axis=0))
    correlation = np.corrcoef(y.T) - np.eye(3)
    assert np.abs(correlation).max() < 0.08
    assert np.array_equal(y, shuffled_dimensions(x, seed=3))
    assert not np.array_equal(y, shuffled_dimensions(x, seed=3, draw=1))
    assert not np.array_equal(y, x)
