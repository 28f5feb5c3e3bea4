"""Every loss term against its formula written out, and the parameters that its gradient must reach."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.saes.architecture import Batch
from husai.saes.config import AnySAEConfig, JumpReluConfig, ReluL1Config, TopKConfig
from husai.saes.parameters import CORE, Parameters
from husai.saes.registry import architecture


def ready(config: AnySAEConfig, d_in: int = 8, rows: int = 16) -> tuple[Parameters, Tensor]:
    generator = torch.Generator().manual_seed(3)
    untied = config.model_copy(update={"tied_init": False})
    p = {name: t.double() for name, t in architecture(config).init(untied, d_in, generator, None).items()}
    p["b_enc"] = 0.1 * torch.randn(config.d_sae, generator=generator, dtype=torch.float64)
    p["b_dec"] = 0.1 * torch.randn(d_in, generator=generator, dtype=torch.float64)
    x = torch.randn(rows, d_in, generator=generator, dtype=torch.float64)
    return {name: t.requires_grad_() for name, t in p.items()}, x


def nobody_dead(config: AnySAEConfig) -> Tensor:
    return torch.zeros(config.d_sae, dtype=torch.bool)


def test_mse_is_the_mean_over_rows_of_the_sum_over_dimensions() -> None:
    config = TopKConfig(d_sae=20, k=3)
    p, x = ready(config)
    terms, codes = architecture(config).objective(config, p, Batch.of(x, nobody_dead(config)))
    x_hat = codes.dense() @ p["W_dec"] + p["b_dec"]
    assert float(terms["mse"].detach()) == pytest.approx(float(((x - x_hat) ** 2).sum(1).mean().detach()), rel=1e-12)
    assert set(terms) == {"mse"}


def test_l1_is_a_sum_over_latents_weighted_by_decoder_norm() -> None:
    config = ReluL1Config(d_sae=20, l1=0.3, decoder_norm="free")
    p, x = ready(config)
    with torch.no_grad():
        p["W_dec"].mul_(2.5)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, nobody_dead(config)))
    f = ((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0)
    expected = 0.3 * (f * p["W_dec"].norm(dim=1)).sum(1).mean()
    assert float(terms["l1"].detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    doubled = ReluL1Config(d_sae=20, l1=0.6, decoder_norm="free")
    again, _ = architecture(doubled).objective(doubled, p, Batch.of(x, nobody_dead(config)))
    assert float(again["l1"].detach()) == pytest.approx(2 * float(terms["l1"].detach()))


@pytest.mark.parametrize(
    "config", [TopKConfig(d_sae=20, k=3), ReluL1Config(d_sae=20, l1=0.1), JumpReluConfig(d_sae=20)]
)
def test_the_reconstruction_moves_every_parameter(config: AnySAEConfig) -> None:
    p, x = ready(config)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, nobody_dead(config)))
    grads = torch.autograd.grad(terms["mse"], [p[name] for name in CORE])
    assert all(g.abs().sum() > 0 for g in grads)


def test_l1_pushes_activations_down_and_moves_the_encoder() -> None:
    config = ReluL1Config(d_sae=20, l1=0.1)
    p, x = ready(config)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, nobody_dead(config)))
    (grad,) = torch.autograd.grad(terms["l1"], [p["b_enc"]])
    assert (grad >= 0).all() and grad.sum() > 0  # a step against it lowers pre-activations


def test_aux_trains_dead_latents_only_and_reaches_their_encoder() -> None:
    config = TopKConfig(d_sae=20, k=3, aux_k=4)
    p, x = ready(config)
    dead = torch.zeros(20, dtype=torch.bool)
    dead[[2, 5, 7, 11, 13]] = True
    terms, _ = architecture(config).objective(config, p, Batch.of(x, dead))
    grads = torch.autograd.grad(terms["aux"], [p["W_enc"], p["W_dec"]], allow_unused=True)
    for grad in grads:
        assert grad is not None
        assert grad[~dead].abs().sum() == 0, "living latents must not feel the auxiliary loss"
        assert grad[dead].abs().sum() > 0, "the auxiliary loss must reach encoder and decoder of dead latents"


def test_aux_is_the_share_of_the_residual_that_dead_latents_leave() -> None:
    config = TopKConfig(d_sae=20, k=3, aux_k=4)
    p, x = ready(config)
    dead = torch.arange(20) < 6
    terms, codes = architecture(config).objective(config, p, Batch.of(x, dead))
    residual = (x - codes.dense() @ p["W_dec"] - p["b_dec"]).detach()
    pre = ((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0)
    pre[:, ~dead] = 0
    values, indices = pre.topk(4, dim=1)
    e_hat = torch.zeros_like(pre).scatter(1, indices, values) @ p["W_dec"]
    share = ((residual - e_hat) ** 2).sum(1).mean() / ((residual - residual.mean(0)) ** 2).sum(1).mean()
    expected = share * ((x - x.mean(0)) ** 2).sum(1).mean() / 32
    assert float(terms["aux"].detach()) == pytest.approx(float(expected.detach()), rel=1e-9)


def test_unit_decoder_rows_are_kept_unit_and_free_ones_left_alone() -> None:
    for norm, expected in (("unit", 1.0), ("free", 3.0)):
        config = TopKConfig(d_sae=20, k=3, decoder_norm=norm)  # type: ignore[arg-type]
        p = {name: t.detach().clone() for name, t in ready(config)[0].items()}
        p["W_dec"] = 3 * p["W_dec"] / p["W_dec"].norm(dim=1, keepdim=True)
        architecture(config).after_step_(config, p, architecture(config).encode(config, p, torch.zeros(1, 8).double()))
        assert torch.allclose(p["W_dec"].norm(dim=1), torch.full((20,), expected, dtype=torch.float64))


def test_the_weight_of_aux_does_not_depend_on_the_scale_of_the_data() -> None:
    config = TopKConfig(d_sae=20, k=3, aux_k=4)
    p, x = ready(config)
    scaled = {name: (t if name.startswith("W") else 10 * t).detach() for name, t in p.items()}
    dead = torch.arange(20) < 6
    small, _ = architecture(config).objective(config, p, Batch.of(x, dead))
    large, _ = architecture(config).objective(config, scaled, Batch.of(10 * x, dead))
    ratio = [float((terms["aux"] / terms["mse"]).detach()) for terms in (small, large)]
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-9)
