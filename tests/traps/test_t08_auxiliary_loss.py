"""T08. An auxiliary loss that was said to revive dead latents: it punished the unselected ones, at 450 times the MSE.
husai's reaches dead latents only, encoder and decoder, makes them better at what the others leave, is logged apart,
weighs what its source says, and revives: in every engine that trains here.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.saes.architecture import Batch
from husai.saes.config import TopKConfig
from husai.saes.registry import architecture
from husai.training.config import TrainingConfig
from husai.training.engines.choose import choose
from husai.training.state import TrainState, start
from husai.training.trainer import copy_state

D, F, K, B = 12, 48, 3, 96
DEAD = torch.arange(F) % 3 == 0
ENGINES = ("reference", "cpu")


def config(aux_k: int) -> TopKConfig:
    return TopKConfig(d_sae=F, k=K, aux_k=aux_k, dead_after=10 * B)


def rows(step: int) -> Tensor:
    return torch.randn(1, B, D, generator=torch.Generator().manual_seed(100 + step))


def begin(training: TrainingConfig, bias: float = -2.0) -> TrainState:
    """At a step at which the latents of DEAD have not fired for long; their bias hides most of what they see."""
    state = start(config(6), training, D, (0,), root=0)
    state.step = 20
    state.last_fired_SF[:] = 20 * B
    state.last_fired_SF[0, DEAD] = 0
    state.parameters["b_enc"][0, DEAD] = bias
    return state


def one_step(engine: str, aux_k: int) -> tuple[TrainState, dict[str, Tensor]]:
    training = TrainingConfig(batch=B, engine=engine)  # type: ignore[arg-type]
    state = begin(training)
    terms = choose(config(aux_k), training)[0].step(state, rows(0), 1e-3)
    return state, terms[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_dead_latents_feel_it_and_their_encoder_does(engine: str) -> None:
    with_aux, terms = one_step(engine, 6)
    without, plain = one_step(engine, 0)
    for name in ("W_enc", "b_enc", "W_dec"):
        aux_slope = with_aux.m[name][0] - without.m[name][0]  # Adam's first moment is a tenth of the gradient
        assert torch.equal(with_aux.m[name][0, ~DEAD], without.m[name][0, ~DEAD]), f"{name} of living latents"
        assert (aux_slope[DEAD].reshape(int(DEAD.sum()), -1).abs().sum(-1) > 0).float().mean() > 0.5, name
    assert set(terms) == {"mse", "aux"} and set(plain) == {"mse"}
    assert float(terms["mse"]) == float(plain["mse"])


def test_a_step_against_it_makes_dead_latents_predict_what_is_left() -> None:
    p = {n: t[0].double().requires_grad_() for n, t in begin(TrainingConfig()).parameters.items()}
    x, arch = rows(0)[0].double(), architecture(config(6))
    aux = arch.objective(config(6), p, Batch.of(x, DEAD))[0]["aux"]
    slopes = torch.autograd.grad(aux, [p["W_enc"], p["b_enc"], p["W_dec"]])
    with torch.no_grad():
        for name, slope in zip(("W_enc", "b_enc", "W_dec"), slopes, strict=True):
            p[name] -= 1e-3 * slope
    after = arch.objective(config(6), p, Batch.of(x, DEAD))[0]
    assert float(after["aux"].detach()) < float(aux.detach())


@pytest.mark.parametrize("engine", ENGINES)
def test_its_size_is_that_of_its_coefficient(engine: str) -> None:
    """Dead latents that predict nothing leave the whole residual: the term is 1/32 of the variance of the rows."""
    training = TrainingConfig(batch=B, engine=engine)  # type: ignore[arg-type]
    state, x = begin(training, -1e4), rows(0)
    terms = choose(config(6), training)[0].step(state, x, 1e-3)[0]
    variance = float((x[0] - x[0].mean(0)).square().sum(-1).mean())
    assert float(terms["aux"]) == pytest.approx(variance / 32, rel=0.1)  # the mean of the residual is not taken away
    assert float(terms["aux"]) < float(terms["mse"])


@pytest.mark.parametrize("engine", ENGINES)
def test_it_revives(engine: str) -> None:
    training, living = TrainingConfig(batch=B, engine=engine), {}  # type: ignore[arg-type]
    first = begin(training, -2.6)
    for aux_k in (0, 6):
        state, trainer = copy_state(first), choose(config(aux_k), training)[0]
        for step in range(400):
            trainer.step(state, rows(step), 3e-3)
        trainer.sync(state)
        living[aux_k] = int((state.last_fired_SF[0, DEAD] > (state.step - 10) * B).sum())
    assert living[6] >= 0.8 * int(DEAD.sum()) and living[0] < living[6] / 2
