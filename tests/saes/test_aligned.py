"""Aligned training: encoder . decoder = 1 for every latent after every step, by the smallest change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.saes.aligned import ALIGNED, align_
from husai.saes.architecture import Batch
from husai.saes.config import AlignedConfig, TopKConfig
from husai.saes.topk import TOPK
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

D, F, B = 10, 24, 64


def products(state: TrainState) -> Tensor:
    return (state.parameters["W_enc"].double() * state.parameters["W_dec"].double()).sum(-1)


@pytest.mark.parametrize(
    "options",
    [{}, {"tied_init": False}, {"decoder_norm": "projected"}, {"freeze": "decoder"}, {"aux_k": 6, "dead_after": 100}],
)
def test_the_constraint_holds_from_the_start_and_after_every_step(options: dict[str, object]) -> None:
    config, training = AlignedConfig.parse({"d_sae": F, "k": 3, **options}), TrainingConfig(batch=B)
    state, engine = start(config, training, D, (0, 1), root=0), ReferenceEngine(config, training)
    began = state.parameters["W_enc"].clone()
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        assert (products(state) - 1).abs().max() < 1e-5
        engine.step(state, torch.randn(2, B, D, generator=generator), 1e-2)
    assert (products(state) - 1).abs().max() < 1e-5
    assert torch.allclose(state.parameters["W_dec"].norm(dim=-1), torch.ones(2, F), atol=1e-5)
    assert (state.parameters["W_enc"] - began).norm() > 0.1


def test_the_change_is_the_smallest_that_meets_the_constraint() -> None:
    """Independent: least norm solution of w_dec . change = 1 - w_enc . w_dec, by the pseudo-inverse."""
    generator = torch.Generator().manual_seed(0)
    p = {n: torch.randn(F, D, generator=generator, dtype=torch.float64) for n in ("W_enc", "W_dec")}
    before = p["W_enc"].clone()
    align_(p)
    for f in range(F):
        row = p["W_dec"][f : f + 1]
        change = (torch.linalg.pinv(row) @ (1 - row @ before[f])).squeeze()
        assert torch.allclose(p["W_enc"][f] - before[f], change, atol=1e-12)


def test_codes_and_loss_are_those_of_topk() -> None:
    config, twin = AlignedConfig(d_sae=F, k=3, aux_k=4), TopKConfig(d_sae=F, k=3, aux_k=4)
    generator = torch.Generator().manual_seed(0)
    p = {n: t.double().requires_grad_() for n, t in ALIGNED.init(config, D, generator, None).items()}
    batch = Batch.of(torch.randn(B, D, generator=generator, dtype=torch.float64), torch.arange(F) < 5)
    ours, codes = ALIGNED.objective(config, p, batch)
    theirs, _ = TOPK.objective(twin, p, batch)
    assert ours.keys() == theirs.keys() == {"mse", "aux"}
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)
    pre = (batch.x_BD - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]
    best = torch.clamp(pre, min=0).topk(3, dim=1)
    f = torch.zeros_like(pre).scatter(1, best.indices, best.values)
    mse = ((batch.x_BD - f @ p["W_dec"] - p["b_dec"]) ** 2).sum(1).mean()
    assert float(ours["mse"].detach()) == pytest.approx(float(mse.detach()), rel=1e-12)
    assert torch.allclose(codes.dense(), f)
    grads = torch.autograd.grad(ours["mse"], list(p.values()))
    assert all(g.any() for g in grads)


def test_a_latent_codes_its_own_row_as_one() -> None:
    config = AlignedConfig(d_sae=F, k=3, tied_init=False)
    p = ALIGNED.init(config, D, torch.Generator().manual_seed(0), None)
    codes = p["W_dec"] @ p["W_enc"].T
    assert torch.allclose(codes.diagonal(), torch.ones(F), atol=1e-5)
