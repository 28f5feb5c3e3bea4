"""Explained variance and its companions against NumPy written out, and the invariances that the definition demands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.errors import UserError
from husai.evals.fidelity import explained_variance, fidelity, subset_explained_variance, total_variance
from husai.saes.config import ReluL1Config, TopKConfig
from husai.saes.parameters import initial
from husai.saes.sae import SAE


def sae(d_in: int = 6, d_sae: int = 14, k: int = 3, dense: bool = False) -> SAE:
    generator = torch.Generator().manual_seed(4)
    config = ReluL1Config(d_sae=d_sae) if dense else TopKConfig(d_sae=d_sae, k=k)
    p = initial(d_in, d_sae, True, generator)
    p["b_dec"] = 0.1 * torch.randn(d_in, generator=generator)
    return SAE(config, p, torch.randn(d_in, generator=generator), 0.8)


def rows(n: int = 5000, d_in: int = 6) -> torch.Tensor:
    return torch.randn(n, d_in, generator=torch.Generator().manual_seed(5)) * 3 + 2


def plain_ev(x: np.ndarray, x_hat: np.ndarray) -> float:
    return float(1 - ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


@pytest.mark.parametrize("dense", [False, True])
def test_every_number_against_numpy(dense: bool) -> None:
    model, x = sae(dense=dense), rows()
    found = fidelity(model, x)
    codes = model.encode(x).double().numpy()
    x64, x_hat = x.double().numpy(), model(x).double().numpy()
    assert found.explained_variance == pytest.approx(plain_ev(x64, x_hat), abs=1e-7)
    assert found.mse == pytest.approx(((x64 - x_hat) ** 2).sum(1).mean(), rel=1e-6)
    assert found.l0 == pytest.approx((codes != 0).sum(1).mean())
    assert np.allclose(found.frequency_F, (codes != 0).mean(0))
    assert found.dead_share == pytest.approx(((codes != 0).sum(0) == 0).mean())
    assert sum(found.density().values()) == model.config.d_sae
    total = ((x64 - x64.mean(0)) ** 2).sum()
    for f in range(0, model.config.d_sae, 3):  # removing a latent for real
        without = x_hat - codes[:, [f]] * model.W_dec[f].double().numpy() / model.factor
        lost = (((x64 - without) ** 2).sum() - ((x64 - x_hat) ** 2).sum()) / total
        assert found.ev_carried_F[f] == pytest.approx(lost, abs=1e-6)


def test_subset_keeps_only_what_it_is_told() -> None:
    model, x = sae(), rows()
    everything, nothing = np.ones(14, dtype=bool), np.zeros(14, dtype=bool)
    assert subset_explained_variance(model, x, everything) == pytest.approx(fidelity(model, x).explained_variance)
    bias = (model.b_dec / model.factor + model.mean_D).expand_as(x)
    assert subset_explained_variance(model, x, nothing) == pytest.approx(
        plain_ev(x.double().numpy(), bias.double().numpy()), abs=1e-7
    )


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e3), size=st.integers(1, 700))
def test_unchanged_by_scale_and_by_batch_size(scale: float, size: int) -> None:
    x = rows(400)
    halve = lambda block: block * 0.5 + 1  # noqa: E731
    scaled = lambda block: (block / scale * 0.5 + 1) * scale  # noqa: E731
    reference = explained_variance(x, halve)
    assert explained_variance(x, halve, size) == pytest.approx(reference, abs=1e-12)
    assert explained_variance(x * scale, scaled) == pytest.approx(reference, abs=1e-4)


def test_equal_rows_have_nothing_to_explain() -> None:
    with pytest.raises(UserError, match="all equal"):
        total_variance(torch.ones(10, 3))
