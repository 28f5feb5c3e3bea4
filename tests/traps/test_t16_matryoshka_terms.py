"""T16. "Matryoshka": its last level repeated the full loss, and a suppressive auxiliary term rode along. husai's sum
over prefixes has every level once under its own name, the last one being the mse; a smaller level moves only the
latents inside it; AuxK counts once and reaches dead latents only; and what is logged is what is minimised.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.saes.architecture import Batch
from husai.saes.config import BatchTopKConfig, MatryoshkaConfig
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

D, F, B, K = 10, 32, 48, 3
PREFIXES = (4, 8, 16, F)
CONFIG = MatryoshkaConfig(d_sae=F, k=K, aux_k=5, dead_after=10 * B, prefixes=PREFIXES)
DEAD = torch.arange(F) % 4 == 1


def rows(step: int = 0) -> Tensor:
    return torch.randn(1, B, D, generator=torch.Generator().manual_seed(100 + step))


def begin(config: MatryoshkaConfig = CONFIG) -> TrainState:
    """At a step at which the latents of DEAD have not fired for long."""
    state = start(config, TrainingConfig(batch=B), D, (0,), root=0)
    state.step = 20
    state.last_fired_SF[:] = 20 * B
    state.last_fired_SF[0, DEAD] = 0
    return state


def doubles(config: MatryoshkaConfig = CONFIG) -> tuple[Parameters, Tensor]:
    p = {name: t[0].double().requires_grad_() for name, t in begin(config).parameters.items()}
    return p, rows()[0].double()


def selected(p: Parameters, x: Tensor) -> Tensor:
    """The B k largest of the batch, written out."""
    z = ((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0)
    return z * (z >= z.reshape(-1).sort().values[-K * B])


def level(p: Parameters, x: Tensor, m: int) -> Tensor:
    return (x - selected(p, x)[:, :m] @ p["W_dec"][:m] - p["b_dec"]).square().sum(-1).mean()


def test_every_level_is_there_once_under_its_own_name() -> None:
    p, x = doubles()
    terms, _ = architecture(CONFIG).objective(CONFIG, p, Batch.of(x, torch.zeros(F) > 0))
    assert set(terms) == {"mse", "mse_4", "mse_8", "mse_16"}, "the last level is the mse, not a second one beside it"
    total = torch.stack(list(terms.values())).sum()
    assert float(total.detach()) == pytest.approx(sum(float(level(p, x, m).detach()) for m in PREFIXES), rel=1e-12)


def test_one_prefix_is_batchtopk() -> None:
    alone, plain = CONFIG.model_copy(update={"prefixes": (F,)}), BatchTopKConfig(d_sae=F, k=K, aux_k=5)
    p, x = doubles()
    found = [architecture(c).objective(c, p, Batch.of(x, DEAD))[0] for c in (alone, plain)]
    assert found[0].keys() == found[1].keys() == {"mse", "aux"}
    assert all(float(found[0][n].detach()) == pytest.approx(float(found[1][n].detach()), rel=1e-12) for n in found[0])


def test_a_level_moves_its_own_latents_and_no_other() -> None:
    p, x = doubles()
    terms, _ = architecture(CONFIG).objective(CONFIG, p, Batch.of(x, torch.zeros(F) > 0))
    for m in PREFIXES[:-1]:
        grads = torch.autograd.grad(terms[f"mse_{m}"], [p[n] for n in ("W_enc", "b_enc", "W_dec")], retain_graph=True)
        for grad in grads:
            assert not grad[m:].any() and grad[:m].any()


def test_aux_is_that_of_the_whole_dictionary_counts_once_and_suppresses_nothing() -> None:
    p, x = doubles()
    terms, _ = architecture(CONFIG).objective(CONFIG, p, Batch.of(x, DEAD))
    residual = (x - selected(p, x) @ p["W_dec"] - p["b_dec"]).detach()
    dead = ((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0) * DEAD
    e_hat = (dead * (dead >= dead.sort(1).values[:, -5, None])) @ p["W_dec"]
    variance = (x - x.mean(0)).square().sum(-1).mean() / (residual - residual.mean(0)).square().sum(-1).mean()
    expected = (residual - e_hat).square().sum(-1).mean() * variance / 32
    assert float(terms["aux"].detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    for grad in torch.autograd.grad(terms["aux"], [p[n] for n in ("W_enc", "b_enc", "W_dec")]):
        assert not grad[~DEAD].any() and grad[DEAD].any(), "living latents must not feel it"


def test_what_a_step_minimises_is_the_sum_of_what_it_logs() -> None:
    """Adam's first moment after one step is a tenth of the gradient: that of the formula, no term more or less."""
    state, training = begin(), TrainingConfig(batch=B)
    (terms,) = ReferenceEngine(CONFIG, training).step(state, rows(), 1e-3)
    assert set(terms) == {"mse", "mse_4", "mse_8", "mse_16", "aux"}
    p, x = doubles()
    aux = architecture(CONFIG).objective(CONFIG, p, Batch.of(x, DEAD))[0]["aux"]
    total = torch.stack([level(p, x, m) for m in PREFIXES]).sum() + aux
    assert float(sum(terms.values())) == pytest.approx(float(total.detach()), rel=1e-5)
    trained = ("W_enc", "b_enc", "W_dec", "b_dec")
    for name, grad in zip(trained, torch.autograd.grad(total, [p[n] for n in trained]), strict=True):
        assert torch.allclose(10 * state.m[name][0].double(), grad, atol=1e-4 * float(grad.abs().max())), name
