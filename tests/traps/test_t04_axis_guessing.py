"""T04. A sweep found its best lift at 64 features (.349 against .228): a rule that transposed "tall" arrays had swapped
the axes, and .347 is simply the floor of the transposed shape. husai takes features from rows, whatever the shape,
checks `d_in`, and refuses a transposed array.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability.matching import match_all
from husai.stability.metrics import mcc_signed, mean_max_cos, subspace_overlap
from husai.stability.nulls import floor_mean_max_cos
from husai.stability.pairwise import pairwise
from husai.stability.similarity import cosine, nearest_neighbour
from husai.stability.trajectory import trajectory

D = 128


def random_pair(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, D)), rng.standard_normal((n, D))


@pytest.mark.parametrize("n", [64, 128, 256])
def test_random_decoders_read_the_floor_of_their_own_shape(n: int) -> None:
    A, B = random_pair(n)
    assert mean_max_cos(A, B, d_in=D) == pytest.approx(floor_mean_max_cos(D, n, n).value, abs=0.01)


def test_the_published_reading_is_the_floor_of_the_wrong_shape() -> None:
    A, B = random_pair(64)
    guessed = mean_max_cos(A.T, B.T)  # what the rule computed: 128 "features" in 64 dimensions
    assert guessed == pytest.approx(0.347, abs=0.01)
    assert guessed == pytest.approx(floor_mean_max_cos(64, 128, 128).value, abs=0.01)
    assert mean_max_cos(A, B, d_in=D) == pytest.approx(0.228, abs=0.01)


@pytest.mark.parametrize("n", [64, 256])
def test_a_transposed_dictionary_is_refused(n: int) -> None:
    A, B = random_pair(n)
    for read in (mean_max_cos, mcc_signed, cosine, lambda a, b, d_in: subspace_overlap(a, b, 4, d_in)):
        with pytest.raises(UserError, match=f"d_in = {D}"):
            read(A.T, B.T, d_in=D)
    with pytest.raises(UserError, match=f"d_in = {D}"):
        nearest_neighbour(A.T, d_in=D)
    W = np.stack([A.T, B.T])
    for of_stack in (pairwise, match_all):
        with pytest.raises(UserError, match=f"d_in = {D}"):
            of_stack(W, d_in=D)
    with pytest.raises(UserError, match=f"d_in = {D}"):
        trajectory(W[None], [0], d_in=D)


def test_square_dictionaries_are_read_by_row() -> None:
    """F = D: rows permuted match perfectly, columns permuted do not."""
    A, _ = random_pair(D)
    order = np.random.default_rng(0).permutation(D)
    assert mcc_signed(A, A[order], d_in=D) == pytest.approx(1)
    assert mcc_signed(A, A[:, order], d_in=D) < 0.4
