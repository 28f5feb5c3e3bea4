"""Cosines: axes are declared, blocks equal the whole, collapse is seen."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability import similarity
from husai.stability.similarity import best_abs, cosine, cosine_blocks, features, nearest_neighbour, unit_rows


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_unit_rows_and_padding() -> None:
    A = draw(0, 5, 3)
    A[2] = 0
    U = unit_rows(A)
    assert np.linalg.norm(U, axis=1) == pytest.approx([1, 1, 0, 1, 1])
    assert (cosine(A, A)[2] == 0).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_tiny_and_huge_rows_keep_their_direction(scale: float) -> None:
    A = draw(1, 4, 6)
    assert unit_rows(A * scale) == pytest.approx(unit_rows(A))


def test_the_input_is_not_changed() -> None:
    A = draw(2, 4, 3)
    before = A.copy()
    unit_rows(A)
    nearest_neighbour(A)
    assert (before == A).all()


def test_cosine_by_hand() -> None:
    C = cosine([[1.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, -3.0]])
    assert pytest.approx(np.array([[1, 0], [0.5**0.5, -(0.5**0.5)]])) == C


@pytest.mark.parametrize("block", [1, 7, 30, 4_000_000])
def test_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(similarity, "BLOCK", block)
    A, B = draw(3, 11, 4), draw(4, 6, 4)
    whole = cosine(A, B)
    assert np.concatenate([b for _, b in cosine_blocks(A, B)]) == pytest.approx(whole)
    of_a, of_b = best_abs(A, B)
    assert of_a == pytest.approx(np.abs(whole).max(axis=1))
    assert of_b == pytest.approx(np.abs(whole).max(axis=0))
    own = nearest_neighbour(A)
    C = cosine(A, A)
    np.fill_diagonal(C, -2)
    assert own.signed_F == pytest.approx(C.max(axis=1))
    np.fill_diagonal(C, 0)
    assert own.abs_F == pytest.approx(np.abs(C).max(axis=1))


def test_the_axis_is_checked_never_guessed() -> None:
    A = draw(5, 8, 3)
    assert cosine(A, A, d_in=3).shape == (8, 8)
    assert cosine(A, A).shape == (8, 8)
    assert cosine(A.T, A.T).shape == (3, 3)  # without d_in the rows are the features, whatever the shape
    with pytest.raises(UserError, match="transposed"):
        cosine(A.T, A.T, d_in=3)
    with pytest.raises(UserError, match="d_in = 5"):
        cosine(A, A, d_in=5)
    with pytest.raises(UserError, match="other spaces"):
        cosine(A, draw(0, 8, 4))
    with pytest.raises(UserError, match=r"\[F, D\]"):
        features(np.ones(3))


def test_damage_is_named() -> None:
    A = draw(6, 4, 3)
    A[1, 2] = np.nan
    with pytest.raises(UserError, match="feature 1"):
        cosine(A, A)


def test_own_neighbours() -> None:
    fine = nearest_neighbour(np.eye(4))
    assert fine.mean == 0 and not fine.collapsed and "0.000" in fine.words()
    flipped = nearest_neighbour(np.array([[1.0, 0], [-1.0, 0]]))
    assert flipped.signed_F == pytest.approx([-1, -1]) and not flipped.collapsed  # one direction, both signs
    copies = nearest_neighbour(np.array([[1.0, 0], [1.0, 0.1]]))
    assert copies.share_close == 1 and copies.collapsed
    mixed = nearest_neighbour(np.vstack([np.eye(6), np.eye(6)[:1]]))
    assert mixed.share_close == pytest.approx(2 / 7) and not mixed.collapsed


def test_one_feature_has_no_neighbour() -> None:
    own = nearest_neighbour(np.ones((1, 3)))
    assert own.mean is None and np.isnan(own.abs_F).all() and not own.collapsed
    assert "fewer than two" in own.words()
    assert nearest_neighbour(np.ones((0, 3))).mean is None
