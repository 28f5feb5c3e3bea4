"""Each formula against a slow, independent computation or a value known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.optimize import linear_sum_assignment

from husai.errors import UserError
from husai.stability.metrics import (
    activation_match,
    correlation,
    mcc_abs,
    mcc_signed,
    mean_max_cos,
    shared_at,
    subspace_overlap,
)
from husai.stability.similarity import cosine


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_signed_and_absolute_differ_on_a_flipped_feature() -> None:
    A = np.eye(4)
    B = np.diag([1.0, 1.0, 1.0, -1.0])
    assert mcc_signed(A, B) == pytest.approx(2 / 4)  # matched at -1, or swapped with another feature at 0 and 0
    assert mcc_abs(A, B) == 1
    assert mean_max_cos(A, B) == 1


def test_rectangular_divides_by_the_larger_count() -> None:
    A = np.eye(5)
    assert mcc_signed(A, A[:2]) == pytest.approx(2 / 5)
    assert mcc_signed(A[:2], A) == pytest.approx(2 / 5)
    assert mean_max_cos(A, A[:2]) == pytest.approx((2 / 5 + 1) / 2)


def test_mean_max_cos_is_not_one_to_one() -> None:
    A = np.array([[1.0, 0], [1.0, 0]])
    B = np.array([[1.0, 0], [0, 1.0]])
    assert mean_max_cos(A, B) == pytest.approx((1 + 0.5) / 2)
    assert mcc_signed(A, B) == pytest.approx(0.5)


def test_mean_max_cos_by_loops() -> None:
    A, B = draw(0, 5, 3), draw(1, 4, 3)
    size = [[abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for b in B] for a in A]
    rows = np.mean([max(r) for r in size])
    cols = np.mean([max(r[j] for r in size) for j in range(4)])
    assert mean_max_cos(A, B) == pytest.approx((rows + cols) / 2)


def test_empty_dictionaries() -> None:
    none, some = np.zeros((0, 3)), np.eye(3)
    assert np.isnan(mcc_signed(none, none)) and np.isnan(mean_max_cos(none, none))
    assert mcc_signed(none, some) == 0 and mean_max_cos(some, none) == 0


class TestSharedAt:
    """The partner must be the same in encoder and decoder, at cosine >= t in both."""

    W = np.eye(6)

    def test_identical(self) -> None:
        for t in (0.5, 0.7, 0.9):
            assert shared_at(self.W, self.W, self.W, self.W, t) == 1

    def test_permuted_alike(self) -> None:
        p = np.random.default_rng(0).permutation(6)
        assert shared_at(self.W, self.W[p], self.W, self.W[p]) == 1

    def test_another_partner_in_the_encoder(self) -> None:
        swapped = self.W[[1, 0, 2, 3, 4, 5]]
        assert shared_at(self.W, self.W, self.W, swapped) == pytest.approx(4 / 6)

    def test_a_better_partner_in_the_encoder(self) -> None:
        """Cosine >= t in both is not enough: the encoder's matching must choose the same partner."""
        pair = np.array([[1.0, 0.0], [0.8, 0.6]])
        assert cosine(pair, pair[::-1])[0, 0] == pytest.approx(0.8)
        assert shared_at(pair, pair, pair, pair, 0.7) == 1
        assert shared_at(pair, pair, pair, pair[::-1], 0.7) == 0

    def test_cosine_must_hold_in_both(self) -> None:
        half = self.W.copy()
        half[0] = [0.6, 0.8 / 5**0.5, *([0.8 / 5**0.5] * 4)]
        args = (self.W, self.W, self.W, half)
        assert shared_at(*args, 0.5) == 1
        assert shared_at(*args, 0.7) == pytest.approx(5 / 6)
        assert shared_at(half, self.W, self.W, self.W, 0.7) == pytest.approx(5 / 6)

    def test_unequal_sizes_both_ways(self) -> None:
        assert shared_at(self.W[:2], self.W, self.W[:2], self.W) == pytest.approx(2 / 6)
        assert shared_at(self.W, self.W[:2], self.W, self.W[:2]) == pytest.approx(2 / 6)

    def test_by_hand_on_random_dictionaries(self) -> None:
        A, B = draw(0, 7, 5), draw(1, 5, 5)
        E, G = A + 0.5 * draw(2, 7, 5), B + 0.5 * draw(3, 5, 5)

        def cos(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)

        dec, enc = (dict(zip(*linear_sum_assignment(-cos(*p)), strict=True)) for p in ((A, B), (E, G)))
        hits = [i for i, j in dec.items() if enc.get(i) == j and min(cos(A, B)[i, j], cos(E, G)[i, j]) >= 0.3]
        assert 0 < len(hits) < 5
        assert shared_at(A, B, E, G, 0.3) == pytest.approx(len(hits) / 7)

    def test_shapes(self) -> None:
        with pytest.raises(UserError, match="different numbers"):
            shared_at(self.W, self.W, self.W[:3], self.W)


def test_correlation_is_pearson() -> None:
    A, B = draw(0, 50, 4), draw(1, 50, 3)
    B[:, 0] = 2 * A[:, 1] + 3
    got = correlation(A, B, block=7)
    assert got == pytest.approx(np.corrcoef(A.T, B.T)[:4, 4:])
    assert got[1, 0] == pytest.approx(1)


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -1e6])
def test_a_latent_that_never_varies_correlates_with_nothing(constant: float) -> None:
    A = draw(0, 101, 3)
    A[:, 1] = constant
    assert (correlation(A, A)[1] == 0).all() and (correlation(A, A)[:, 1] == 0).all()
    assert activation_match(A, A) == pytest.approx(2 / 3)


def test_small_activations_still_correlate() -> None:
    A = draw(0, 101, 3)
    assert correlation(A * 1e-8, A * 1e-9) == pytest.approx(correlation(A, A))


def test_activation_match_ignores_the_order_of_latents() -> None:
    A = np.maximum(draw(0, 200, 6), 0).astype(np.float32)
    assert activation_match(A, A[:, ::-1] * 3) == pytest.approx(1)
    assert activation_match(A, np.maximum(draw(9, 200, 6), 0)) < 0.3


def test_activation_shapes() -> None:
    with pytest.raises(UserError, match="same N"):
        correlation(np.ones((5, 2)), np.ones((6, 2)))
    with pytest.raises(UserError, match="not finite"):
        correlation(np.array([[1.0], [np.nan]]), np.ones((2, 1)))


def test_subspace_overlap_is_the_mean_squared_cosine_of_principal_angles() -> None:
    A, B = draw(0, 9, 6), draw(1, 8, 6)

    def top(x: np.ndarray, r: int) -> np.ndarray:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return np.linalg.svd(x)[2][:r].T

    for r in (1, 2, 4):
        expected = (np.cos(subspace_angles(top(A, r), top(B, r))) ** 2).mean()
        assert subspace_overlap(A, B, r) == pytest.approx(expected)
    assert subspace_overlap(A, B, 6) == pytest.approx(1)
    assert subspace_overlap(A, A, 3) == pytest.approx(1)
    for r in (0, 7):
        with pytest.raises(UserError, match="does not fit"):
            subspace_overlap(A, B, r)
