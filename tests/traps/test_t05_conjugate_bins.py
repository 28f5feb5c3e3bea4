"""T05. A Fourier score in which conjugate bins cancel gave 2 % for the algorithm it was looking for.

husai projects on a real basis: a perfect Fourier embedding scores 1, random rows score chance.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.evals.fourier import best_plane, chance, explained_by_frequency, planes, real_basis

P, D = 29, 24


def circular(frequencies: tuple[int, ...], noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations of all pairs whose rows are circles at these frequencies, in random orthogonal planes."""
    rng = np.random.default_rng(0)
    s = np.add.outer(np.arange(P), np.arange(P)).ravel() % P
    directions = np.linalg.qr(rng.normal(size=(D, 2 * len(frequencies))))[0].T
    waves = [f(2 * np.pi * w * s / P) for w in frequencies for f in (np.cos, np.sin)]
    x = np.stack(waves, 1) @ directions
    return x + noise * rng.normal(size=x.shape), s, directions


def test_a_perfect_embedding_scores_one_at_its_own_frequency() -> None:
    x, s, directions = circular((3, 7, 11))
    share, frequency = best_plane(directions, planes(x, s, P))
    assert np.allclose(share, 1)
    assert frequency.tolist() == [3, 3, 7, 7, 11, 11]
    rotated = directions[:2].T @ np.array([0.6, 0.8])
    assert best_plane(rotated[None], planes(x, s, P))[0][0] == pytest.approx(1)


def test_energy_is_found_where_it_is() -> None:
    x, s, _ = circular((3, 7, 11), noise=0.05)
    fourier = planes(x, s, P)
    top = sorted(fourier.frequencies[np.argsort(-fourier.energy_W)[:3]].tolist())
    assert top == [3, 7, 11]
    assert 0.9 < fourier.energy_W.sum() < 1


def test_random_rows_score_the_measured_chance() -> None:
    x, s, _ = circular((3, 7, 11), noise=0.05)
    fourier = planes(x, s, P)
    mean, sd = chance(fourier, 2000, root=0)
    other = np.random.default_rng(9).normal(size=(2000, D))
    assert best_plane(other, fourier)[0].mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(2000))
    assert mean < 0.5, "chance must be far from 1"


@pytest.mark.parametrize("phase", [0.0, 0.4, np.pi / 2, 3.0])
def test_one_cosine_scores_one_whatever_its_phase(phase: float) -> None:
    """With complex bins the sum over conjugates depends on the phase and vanishes at some of them."""
    s = np.repeat(np.arange(P), 5)
    column = np.cos(2 * np.pi * 4 * s / P + phase)[:, None]
    shares = explained_by_frequency(column, s, P)[:, 0]
    assert shares[3] == pytest.approx(1)
    assert shares.sum() == pytest.approx(1)


def test_noise_scores_chance() -> None:
    s = np.repeat(np.arange(P), 40)
    noise = np.random.default_rng(1).normal(size=(len(s), 200))
    shares = explained_by_frequency(noise, s, P)
    assert shares.sum(0).mean() == pytest.approx((P - 1) / (len(s) - 1), rel=0.1)


def test_the_basis_is_real_and_orthogonal() -> None:
    basis = real_basis(np.arange(P), P).reshape(P, -1)
    assert np.allclose(basis.T @ basis, np.eye(P - 1) * P / 2)
    with pytest.raises(UserError, match="odd modulus"):
        real_basis(np.arange(4), 4)
