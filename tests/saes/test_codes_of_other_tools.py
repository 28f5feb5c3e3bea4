"""What husai's architectures learnt for SAEs of other tools: thresholds as values, transcoders with other codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.config import JumpReluConfig, SkipTranscoderConfig, TranscoderConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.stack import SAEStack, load_stack
from husai.training.config import TrainingConfig
from husai.training.state import start
from our_saes import D, F, random_sae, rows

LOG, VALUE = (JumpReluConfig(d_sae=F, threshold=0.2, bandwidth=0.1, threshold_as=how) for how in ("log", "value"))


def both() -> tuple[Parameters, Parameters, Tensor]:
    """The same SAE with thresholds kept in either way, in float64."""
    generator = torch.Generator().manual_seed(0)
    p = {name: t.double() for name, t in architecture(LOG).init(LOG, D, generator, None).items()}
    p["log_threshold"] += torch.randn(F, generator=generator).double() * 0.3
    other = {name: t for name, t in p.items() if name != "log_threshold"} | {"threshold": p["log_threshold"].exp()}
    return p, other, torch.randn(300, D, generator=generator).double()


def test_thresholds_as_values_give_the_same_codes_and_slopes() -> None:
    p, q, x = both()
    assert torch.equal(architecture(LOG).encode(LOG, p, x).dense(), architecture(VALUE).encode(VALUE, q, x).dense())
    dead = torch.zeros(F, dtype=torch.bool)
    p["log_threshold"].requires_grad_()
    q["threshold"].requires_grad_()
    in_log, _ = architecture(LOG).objective(LOG, p, Batch.of(x, dead))
    in_value, _ = architecture(VALUE).objective(VALUE, q, Batch.of(x, dead))
    for term in ("mse", "l0"):
        assert in_log[term].item() == pytest.approx(in_value[term].item(), rel=1e-12)
        (a,) = torch.autograd.grad(in_log[term], [p["log_threshold"]], retain_graph=True)
        (b,) = torch.autograd.grad(in_value[term], [q["threshold"]], retain_graph=True)
        assert torch.allclose(a, b * p["log_threshold"].exp(), rtol=1e-10)
        assert (a != 0).any()


def test_both_start_from_the_same_thresholds() -> None:
    states = [start(config, TrainingConfig(), D, (0,), root=1).parameters for config in (LOG, VALUE)]
    assert torch.allclose(states[0]["log_threshold"].exp(), states[1]["threshold"])


@pytest.mark.parametrize("threshold", [0.0, -0.7, 0.1, 1e-30])
def test_a_threshold_that_no_logarithm_gives_is_kept_exactly(threshold: float, tmp_path: Path) -> None:
    sae = random_sae("jumprelu-value")
    sae.parameters["threshold"].fill_(threshold)
    stack = SAEStack(sae.config, (0,), {n: t[None] for n, t in sae.parameters.items()}, sae.mean_D, sae.factor)
    again = load_stack(stack.save(tmp_path / "stack.safetensors"))[0]
    assert torch.equal(again.parameters["threshold"], torch.full((F,), threshold))
    f = again.encode(rows())
    assert torch.equal(f, sae.encode(rows())) and (f >= 0).all()
    assert f[f > 0].min() > threshold


def test_a_latent_opens_one_float_above_its_threshold() -> None:
    """Few floats are the exponential of a float: kept as logarithms, some of these would open elsewhere."""
    t_F = torch.rand(F, generator=torch.Generator().manual_seed(3)) * 5
    t_F[0] = 0.0
    p = {"W_enc": torch.eye(F), "b_enc": torch.zeros(F), "W_dec": torch.eye(F), "b_dec": torch.zeros(F)}
    above_F = torch.nextafter(t_F, torch.full((F,), torch.inf))
    for x_F, expected_F in ((t_F, torch.zeros(F)), (above_F, above_F)):
        f = architecture(VALUE).encode(VALUE, p | {"threshold": t_F}, x_F[None]).dense()[0]
        assert torch.equal(f, expected_F)
    assert not torch.equal(t_F.log().exp(), t_F)


@pytest.mark.parametrize("kind", [TranscoderConfig, SkipTranscoderConfig])
@pytest.mark.parametrize("activation", ["relu", "jumprelu"])
def test_transcoders_of_other_tools(kind: type[TranscoderConfig], activation: str) -> None:
    name = f"{kind().kind}-{activation}-4"
    sae, x = random_sae(name), rows()
    p = {key: t.double() for key, t in sae.folded().parameters.items()}
    pre = x.double() @ p["W_enc"].T + p["b_enc"]
    f = pre.clamp(min=0) * (pre > p["threshold"] if activation == "jumprelu" else 1)
    y = f @ p["W_dec"] + p["b_dec"] + (x.double() @ p["W_skip"].T if "W_skip" in p else 0)
    assert torch.allclose(sae.encode(x).double(), f, atol=1e-4) and torch.allclose(sae(x).double(), y, atol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "jumprelu"])
def test_such_transcoders_are_not_trained(activation: str) -> None:
    with pytest.raises(UserError, match=f"activation = {activation}: husai trains transcoders with topk alone"):
        check_sizes(TranscoderConfig.parse({"d_sae": 20, "k": 3, "d_out": 4, "activation": activation}), 10)
