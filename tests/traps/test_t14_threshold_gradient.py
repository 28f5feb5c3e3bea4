"""T14. "JumpReLU / L0 penalty": a threshold that no gradient reached, so the penalty could not change L0. husai's
thresholds get the straight-through slopes of their source, both from the penalty and from the reconstruction, and an L0
that is asked for is reached from either side.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from husai.saes.architecture import Batch
from husai.saes.config import JumpReluConfig
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import start

D, F, B = 16, 40, 512
CONFIG = JumpReluConfig(d_sae=F, l0_coefficient=0.2, threshold=0.2, bandwidth=0.1)


def asking(l0_target: float | None, l0_coefficient: float = 0.2) -> JumpReluConfig:
    return CONFIG.model_copy(update={"l0_target": l0_target, "l0_coefficient": l0_coefficient})


def ready(config: JumpReluConfig) -> tuple[Parameters, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    p = {n: t.double() for n, t in architecture(config).init(config, D, generator, None).items()}
    x = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return {n: t.requires_grad_() for n, t in p.items()}, x, torch.zeros(F, dtype=torch.bool)


def threshold_slope(config: JumpReluConfig, term: str) -> Tensor:
    p, x, dead = ready(config)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, dead))
    return torch.autograd.grad(terms[term], [p["log_threshold"]])[0]


@pytest.mark.parametrize("target", [None, 5.0])
@pytest.mark.parametrize("term", ["mse", "l0"])
def test_every_term_reaches_the_threshold(term: str, target: float | None) -> None:
    assert (threshold_slope(asking(target), term) != 0).float().mean() > 0.9


def test_the_penalty_raises_thresholds_above_the_target_and_lowers_them_below_it() -> None:
    p, x, _ = ready(CONFIG)
    L0 = float((architecture(CONFIG).encode(CONFIG, p, x).dense() != 0).sum(-1).double().mean())
    assert (threshold_slope(CONFIG, "l0") <= 0).all()  # against the gradient, the threshold rises
    assert (threshold_slope(asking(L0 / 2), "l0") <= 0).all()
    assert (threshold_slope(asking(2 * L0), "l0") >= 0).all()


def test_the_slopes_are_those_of_the_source() -> None:
    """Written out per latent: sums over the rows within half a bandwidth of the threshold."""
    p, x, dead = ready(CONFIG)
    _, codes = architecture(CONFIG).objective(CONFIG, p, Batch.of(x, dead))
    z = ((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0).detach()
    theta, width = p["log_threshold"].exp().detach(), 0.1 * math.sqrt(D)
    near = ((z - theta).abs() < width / 2).double()
    variance = (x - x.mean(0)).square().sum(-1).mean()
    l0 = -(near.sum(0) / B) / width * 0.2 * variance * theta
    assert torch.allclose(threshold_slope(CONFIG, "l0"), l0, rtol=1e-12)
    residual = (codes.dense() @ p["W_dec"] + p["b_dec"] - x).detach()
    into_code = 2 / B * residual @ p["W_dec"].detach().T
    mse = -(theta / width) * (into_code * near).sum(0) * theta
    assert torch.allclose(threshold_slope(CONFIG, "mse"), mse, rtol=1e-10)


def test_the_penalty_alone_moves_no_weight() -> None:
    p, x, dead = ready(CONFIG)
    terms, _ = architecture(CONFIG).objective(CONFIG, p, Batch.of(x, dead))
    others = [p[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")]
    assert torch.autograd.grad(terms["l0"], others, allow_unused=True) == (None, None, None, None)


@pytest.mark.parametrize("target", [3.0, 10.0])
def test_an_l0_that_is_asked_for_is_reached(target: float) -> None:
    config, training = asking(target, 10.0), TrainingConfig(batch=B)
    state, engine = start(config, training, D, (0,), root=0), ReferenceEngine(config, training)
    generator = torch.Generator().manual_seed(1)
    for _ in range(400):
        engine.step(state, torch.randn(1, B, D, generator=generator), 1e-2)
    p = {name: t[0] for name, t in state.parameters.items()}
    codes = architecture(config).encode(config, p, torch.randn(4 * B, D, generator=generator))
    assert float((codes.dense() != 0).sum(-1).float().mean()) == pytest.approx(target, rel=0.05)
