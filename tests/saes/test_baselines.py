"""What SAEs are compared with: the linear autoencoder, principal directions, random directions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.config import AnySAEConfig, LinearConfig, PCAConfig, RandomConfig
from husai.saes.linear import LINEAR
from husai.saes.pca import PCA
from husai.saes.random import RANDOM
from husai.saes.registry import architecture
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import start

D = 8
SCALES = torch.tensor([5.0, 4, 3, 2, 1, 0.5, 0.2, 0.1])
ROWS = 2 + torch.randn(400, D, generator=torch.Generator().manual_seed(0)) * SCALES


def explained(x: Tensor, x_hat: Tensor) -> float:
    return float(1 - (x - x_hat).square().sum() / (x - x.mean(0)).square().sum())


def test_linear_is_what_its_formula_says() -> None:
    config = LinearConfig(d_sae=5)
    generator = torch.Generator().manual_seed(3)
    p = {n: t.double() for n, t in LINEAR.init(config, D, generator, None).items()}
    for name in ("b_enc", "b_dec"):
        p[name] = torch.randn(p[name].shape, generator=generator, dtype=torch.float64)
    p = {n: t.requires_grad_() for n, t in p.items()}
    batch = Batch.of(ROWS[:30].double(), torch.zeros(5) > 0)
    terms, codes = LINEAR.objective(config, p, batch)
    f = (batch.x_BD - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]
    assert torch.allclose(codes.dense(), f) and (f < 0).any()
    mse = ((batch.x_BD - f @ p["W_dec"] - p["b_dec"]) ** 2).sum(1).mean()
    assert terms.keys() == {"mse"}
    assert float(terms["mse"].detach()) == pytest.approx(float(mse.detach()), rel=1e-12)
    names = list(p)

    def whole(*values: Tensor) -> Tensor:
        return LINEAR.objective(config, dict(zip(names, values, strict=True)), batch)[0]["mse"]

    assert torch.autograd.gradcheck(whole, tuple(p.values()))
    assert all(g.any() for g in torch.autograd.grad(terms["mse"], list(p.values())))


def test_linear_finds_the_principal_subspace_and_not_its_directions() -> None:
    config, training, x = LinearConfig(d_sae=3), TrainingConfig(batch=400), ROWS - ROWS.mean(0)
    state, engine = start(config, training, D, (0, 1), root=0), ReferenceEngine(config, training)
    for _ in range(1500):
        engine.step(state, torch.stack([x, x]), 1e-2)
    _, _, V = torch.linalg.svd(x)
    for W in state.parameters["W_dec"]:
        assert torch.linalg.svdvals(torch.linalg.qr(W.T).Q.T @ V[:3].T).min() > 0.999
    cosine = state.parameters["W_dec"][0] @ state.parameters["W_dec"][1].T
    assert cosine.abs().max(1).values.min() < 0.95, "two seeds agree on the subspace, not on the latents"


def test_pca_explains_as_much_as_any_linear_code_can() -> None:
    config = PCAConfig(d_sae=3)
    p = PCA.init(config, D, torch.Generator(), ROWS)
    x_hat = PCA.decode(config, p, PCA.encode(config, p, ROWS), ROWS)
    values = torch.linalg.svdvals((ROWS - ROWS.mean(0)).double()).square()
    assert explained(ROWS, x_hat) == pytest.approx(float(values[:3].sum() / values.sum()), abs=1e-5)
    assert torch.allclose(p["W_dec"] @ p["W_dec"].T, torch.eye(3), atol=1e-5)
    assert torch.equal(p["W_enc"], p["W_dec"]) and p["W_enc"].data_ptr() != p["W_dec"].data_ptr()
    terms, _ = PCA.objective(config, p, Batch.of(ROWS, torch.zeros(3) > 0))
    assert float(terms["mse"]) == pytest.approx(float(values[3:].sum()) / len(ROWS), rel=1e-4)


def test_pca_refuses_more_directions_than_rows_have() -> None:
    with pytest.raises(UserError, match=r"\[4, 8\] rows have no 5 principal directions"):
        PCA.init(PCAConfig(d_sae=5), D, torch.Generator(), ROWS[:4])


def test_random_keeps_the_k_nearest_of_its_directions() -> None:
    config = RandomConfig(d_sae=30, k=4)
    p = RANDOM.init(config, D, torch.Generator().manual_seed(0), None)
    assert torch.equal(p["W_enc"], p["W_dec"])
    assert torch.allclose(p["W_dec"].norm(dim=1), torch.ones(30))
    pre = torch.clamp(ROWS @ p["W_dec"].T, min=0)
    best = pre.topk(4, dim=1)
    f = torch.zeros_like(pre).scatter(1, best.indices, best.values)
    terms, codes = RANDOM.objective(config, p, Batch.of(ROWS, torch.zeros(30) > 0))
    assert torch.allclose(codes.dense(), f, atol=1e-5)
    assert float(terms["mse"]) == pytest.approx(float((ROWS - f @ p["W_dec"]).square().sum(1).mean()), rel=1e-5)
    other = RANDOM.init(config, D, torch.Generator().manual_seed(1), None)
    assert not torch.equal(p["W_dec"], other["W_dec"])


@pytest.mark.parametrize("config", [PCAConfig(d_sae=3), RandomConfig(d_sae=30, k=4)])
def test_a_baseline_is_measured_and_never_moved(config: AnySAEConfig) -> None:
    assert not architecture(config).trained
    training = TrainingConfig(batch=50)
    state = start(config, training, D, (0, 1), 0, lambda seed: ROWS[200 * seed : 200 * seed + 200])
    began = {n: t.clone() for n, t in state.parameters.items()}
    terms = ReferenceEngine(config, training).step(state, ROWS[:100].reshape(2, 50, D), 1e-2)
    assert state.step == 1 and all(torch.equal(state.parameters[n], began[n]) for n in began)
    assert all(float(seed["mse"]) > 0 for seed in terms)
    assert not torch.equal(began["W_dec"][0], began["W_dec"][1])
