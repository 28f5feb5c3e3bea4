"""Centre, scale, undo, fold: the codes of a folded SAE on raw rows are those of the SAE on scaled rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.activations.scaling import Scaling
from husai.errors import UserError

RNG = np.random.default_rng(8)
X = (7 * RNG.standard_normal((500, 12)) @ RNG.standard_normal((12, 12)) + 40).astype(np.float32)


def explained(x: np.ndarray, x_hat: np.ndarray) -> float:
    x, x_hat = x.astype(float), x_hat.astype(float)
    return 1 - ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()


def test_scaled_rows_have_mean_zero_and_mean_square_norm_d(make_cache):
    for scaling in (Scaling.fit(X), Scaling.of(make_cache(X))):
        y = scaling.apply(X).astype(float)
        assert np.abs(y.mean(0)).max() < 1e-4
        assert (y**2).sum(1).mean() == pytest.approx(12, rel=1e-5)
        assert np.allclose(scaling.undo(scaling.apply(X)), X, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(size=st.floats(1e-4, 1e4), shift=st.floats(-100, 100))
def test_size_and_shift_of_the_data_vanish(size, shift):
    y = Scaling.fit(X * size + shift).apply((X * size + shift).astype(np.float32))
    assert (y.astype(float) ** 2).sum(1).mean() == pytest.approx(12, rel=1e-2)


def test_numpy_and_torch_give_the_same_bits_in_any_batch():
    scaling = Scaling.fit(X)
    whole = scaling.apply(X)
    assert whole.dtype == np.float32
    assert np.array_equal(scaling.apply(torch.tensor(X)).numpy(), whole)
    assert np.array_equal(scaling.apply(X[3:8]), whole[3:8])
    assert np.array_equal(scaling.undo(torch.tensor(whole)).numpy(), scaling.undo(whole))


def test_what_is_folded_is_what_was_applied():
    """Rows are scaled in float32; folding in float64 must use the very same mean and factor."""
    scaling = Scaling(np.full(3, 0.1), 0.1)
    assert scaling.factor == float(np.float32(0.1)) != 0.1
    assert scaling.mean_D.dtype == np.float32


def test_identity_changes_nothing():
    assert np.array_equal(Scaling.identity(12).apply(X), X)


def test_nothing_to_scale():
    with pytest.raises(UserError, match="no variance"):
        Scaling.fit(np.ones((5, 3)))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="positive"):
            Scaling(np.zeros(2), wrong)
