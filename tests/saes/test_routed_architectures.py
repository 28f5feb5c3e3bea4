"""Routed SAEs: which latents are chosen, what the router adds to the loss, and what stays as it is for others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from husai.errors import UserError
from husai.evals.fidelity import fidelity
from husai.saes.architecture import Batch
from husai.saes.config import ExpertTopKConfig, GlobalMaskConfig, Routed, SwitchConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.router import route
from husai.saes.stack import SAEStack
from husai.training.config import TrainingConfig
from husai.training.engines.choose import choose
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

D, F, B = 8, 24, 40
CONFIGS: list[Routed] = [
    SwitchConfig(d_sae=F, k=3),
    ExpertTopKConfig(d_sae=F, k=3),
    ExpertTopKConfig(d_sae=F, k=5, experts=6, active_experts=3),
    GlobalMaskConfig(d_sae=F, k=6),
    GlobalMaskConfig(d_sae=F, k=7, experts=6, active_experts=3),
]


def ready(config: Routed, seed: int = 3) -> tuple[Parameters, Tensor]:
    """Parameters away from their start, and rows, in float64."""
    generator = torch.Generator().manual_seed(seed)
    p = architecture(config).init(config, D, generator, None)
    p = {n: t.double() + 0.1 * torch.randn(t.shape, generator=generator, dtype=torch.float64) for n, t in p.items()}
    x = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return {name: t.requires_grad_() for name, t in p.items()}, x


def nobody_dead() -> Tensor:
    return torch.zeros(F, dtype=torch.bool)


def probabilities(p: Parameters, x: Tensor) -> np.ndarray:
    """Softmax written out, in float64."""
    logits = (x - p["b_router"]).detach().numpy() @ p["W_router"].detach().numpy().T
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def by_sorting(values: np.ndarray, k: int, among: list[int]) -> list[int]:
    """Largest first, among equals the lowest index first."""
    return sorted(among, key=lambda i: (-values[i], i))[:k]


def expected_codes(config: Routed, p: Parameters, x: Tensor) -> tuple[np.ndarray, list[list[int]]]:
    """Dense codes and candidates, row by row, by sorting."""
    prob, width = probabilities(p, x), config.d_sae // config.experts
    W, b_dec = p["W_enc"].detach().numpy(), p["b_dec"].detach().numpy()
    pre = np.maximum((x.numpy() - b_dec) @ W.T + p["b_enc"].detach().numpy(), 0)
    dense, candidates = np.zeros_like(pre), []
    for row, values in enumerate(pre):
        experts = by_sorting(prob[row], config.active_experts, list(range(config.experts)))
        theirs = [f for f in range(config.d_sae) if f // width in experts]
        everything = list(range(config.d_sae))
        kept = by_sorting(values, config.k, everything if config.kind == "global_mask" else theirs)
        candidates.append(sorted(kept))
        for f in set(kept) & set(theirs):
            dense[row, f] = values[f] * prob[row, f // width]
    return dense, candidates


@pytest.mark.parametrize("config", CONFIGS)
def test_codes_are_those_of_a_sort_within_the_experts(config: Routed) -> None:
    p, x = ready(config)
    codes = architecture(config).encode(config, p, x)
    dense, candidates = expected_codes(config, p, x)
    assert codes.indices_BK.tolist() == candidates
    assert np.allclose(codes.dense().detach().numpy(), dense, rtol=1e-12, atol=0)
    assert (dense != 0).any(0).sum() > F / 2, "the test would be nearly empty"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CONFIGS), st.integers(0, 10**6))
def test_ties_go_to_the_lowest_expert_and_latent(config: Routed, seed: int) -> None:
    """Weights and rows from {-1, 0, 1}: nearly every row has equal experts and equal latents."""
    rng = np.random.default_rng(seed)
    shapes = architecture(config).shapes(config, D)
    p = {n: torch.from_numpy(rng.integers(-1, 2, shape).astype(np.float64)) for n, shape in shapes.items()}
    x = torch.from_numpy(rng.integers(-1, 2, (12, D)).astype(np.float64))
    codes = architecture(config).encode(config, p, x)
    dense, candidates = expected_codes(config, p, x)
    assert codes.indices_BK.tolist() == candidates
    assert np.allclose(codes.dense().numpy(), dense, rtol=1e-12, atol=0)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_row_has_codes_only_in_its_experts(config: Routed) -> None:
    p, x = ready(config)
    fired = architecture(config).encode(config, p, x).dense() != 0
    experts_hit = fired.reshape(B, config.experts, -1).any(-1)
    assert (experts_hit <= route(config, p, x).chosen_BE).all()
    assert (route(config, p, x).chosen_BE.sum(1) == config.active_experts).all()
    assert (fired.sum(1) <= config.k).all()


def test_switch_is_expert_topk_with_one_expert_per_row() -> None:
    switch, expert_topk = SwitchConfig(d_sae=F, k=3, entropy=0.2), ExpertTopKConfig(d_sae=F, k=3, entropy=0.2)
    p, x = ready(switch)
    batch = Batch.of(x, nobody_dead())
    one, other = (architecture(c).objective(c, p, batch) for c in (switch, expert_topk))
    assert {n: float(t.detach()) for n, t in one[0].items()} == {n: float(t.detach()) for n, t in other[0].items()}
    assert torch.equal(one[1].dense(), other[1].dense())


@pytest.mark.parametrize("config", CONFIGS)
def test_load_balancing_is_the_formula_of_the_source(config: Routed) -> None:
    config = config.model_copy(update={"balance": 0.3})
    p, x = ready(config)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, nobody_dead()))
    prob, counts = probabilities(p, x), np.zeros(config.experts)
    for row in prob:
        counts[by_sorting(row, config.active_experts, list(range(config.experts)))] += 1
    variance = ((x - x.mean(0)) ** 2).sum(1).mean().item()
    expected = 0.3 * variance * config.experts * sum(counts / counts.sum() * prob.mean(0))
    assert float(terms["balance"].detach()) == pytest.approx(expected, rel=1e-12)


def test_load_balancing_is_one_when_even_and_the_number_of_experts_when_not() -> None:
    config = SwitchConfig(d_sae=F, k=3)
    p = {name: torch.zeros(shape).double() for name, shape in architecture(config).shapes(config, D).items()}
    p["W_router"][:, :4] = 100 * torch.eye(4)
    even, one_sided = torch.eye(4, D).double(), torch.eye(4, D).double()[[2, 2, 2, 2]]
    assert float(route(config, p, even).imbalance) == pytest.approx(1)
    assert float(route(config, p, one_sided).imbalance) == pytest.approx(4)


def test_a_step_against_load_balancing_sends_fewer_rows_to_the_busiest_expert() -> None:
    config = SwitchConfig(d_sae=F, k=3, balance=1.0)
    p, x = ready(config)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, nobody_dead()))
    (gradient,) = torch.autograd.grad(terms["balance"], [p["W_router"]])
    before = route(config, p, x)
    after = route(config, p | {"W_router": p["W_router"] - 1e-3 * gradient}, x)
    busiest = int(before.usage_E.argmax())
    assert after.log_p_BE.exp().mean(0)[busiest] < before.log_p_BE.exp().mean(0)[busiest]


@pytest.mark.parametrize("weight", [0.4, -0.4])
def test_a_positive_entropy_weight_is_a_penalty_and_a_negative_one_a_bonus(weight: float) -> None:
    config = ExpertTopKConfig(d_sae=F, k=3, entropy=weight)
    p, x = ready(config)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, nobody_dead()))
    prob = probabilities(p, x)
    H = -(prob * np.log(prob)).sum(1).mean()
    variance = ((x - x.mean(0)) ** 2).sum(1).mean().item()
    assert float(terms["entropy"].detach()) == pytest.approx(weight * variance * H, rel=1e-12)
    (gradient,) = torch.autograd.grad(terms["entropy"], [p["W_router"]])
    after = float(route(config, p | {"W_router": p["W_router"] - 1e-3 * gradient}, x).entropy.detach())
    assert (after < H) == (weight > 0)


def test_terms_without_weight_are_not_there_and_weights_do_not_depend_on_the_scale_of_the_data() -> None:
    config = SwitchConfig(d_sae=F, k=3, balance=0.0)
    p, x = ready(config)
    assert set(architecture(config).objective(config, p, Batch.of(x, nobody_dead()))[0]) == {"mse"}
    config = config.model_copy(update={"balance": 0.1, "entropy": 0.1})
    large = {n: t / 10 if n == "W_router" else t if n.startswith("W") else 10 * t for n, t in p.items()}
    (a, _), (b, _) = (
        architecture(config).objective(config, q, Batch.of(rows, nobody_dead()))
        for q, rows in ((p, x), (large, 10 * x))
    )
    assert set(a) == {"mse", "balance", "entropy"}
    for name in a:
        assert float(b[name].detach()) == pytest.approx(100 * float(a[name].detach()), rel=1e-9)


def test_aux_reaches_the_encoder_of_an_expert_that_no_row_is_sent_to_and_not_the_router() -> None:
    config = SwitchConfig(d_sae=F, k=3, aux_k=4)
    p, x = ready(config)
    p["W_router"] = p["W_router"].detach().index_fill(0, torch.tensor([3]), 0.0).requires_grad_()
    p["b_router"] = torch.zeros_like(p["b_router"]).requires_grad_()
    idle = torch.arange(F) >= 18  # expert 3: a logit of 0, below the largest of the others in each row kept
    x = x[(x @ p["W_router"].T).max(1).values > 0]
    terms, codes = architecture(config).objective(config, p, Batch.of(x, idle))
    assert not codes.fired()[idle].any()
    mse = torch.autograd.grad(terms["mse"], [p["W_enc"]], retain_graph=True)[0]
    assert not mse[idle].any(), "the reconstruction does not reach it"
    aux = torch.autograd.grad(terms["aux"], [p["W_enc"], p["W_router"], p["b_router"]], allow_unused=True)
    assert aux[0][idle].abs().sum() > 0 and not aux[0][~idle].any()
    assert aux[1:] == (None, None)


def test_l0_of_a_global_mask_is_below_k_and_reported_as_it_is() -> None:
    """The seed experiments had 4.3 at k = 32, E = 8: about k / E."""
    config = GlobalMaskConfig(d_sae=1024, k=32, experts=8)
    state = start(config, TrainingConfig(), 128, (0,), root=0)
    sae = SAEStack(config, (0,), state.parameters, torch.zeros(128), 1.0)[0]
    x = torch.randn(600, 128, generator=torch.Generator().manual_seed(0))
    counted = float((sae.encode(x) != 0).sum(1).double().mean())
    assert fidelity(sae, x).l0 == pytest.approx(counted)
    assert 3 < counted < 5
    assert sae.codes(x).values_BK.shape == (600, 32)
    whole = ExpertTopKConfig(d_sae=1024, k=32, experts=8)
    assert fidelity(SAEStack(whole, (0,), state.parameters, torch.zeros(128), 1.0)[0], x).l0 == pytest.approx(
        32, abs=0.1
    )


def trained(config: Routed, seeds: tuple[int, ...], steps: int = 40) -> TrainState:
    training = TrainingConfig(batch=B)
    state, engine = start(config, training, D, seeds, root=2), ReferenceEngine(config, training)
    rows = {s: torch.randn(steps, B, D, generator=torch.Generator().manual_seed(s)) for s in seeds}
    for step in range(steps):
        engine.step(state, torch.stack([rows[s][step] for s in seeds]), 1e-2)
    return state


@pytest.mark.parametrize("config", CONFIGS)
def test_a_seed_of_a_stack_equals_that_seed_alone(config: Routed) -> None:
    config = config.model_copy(update={"aux_k": 4, "dead_after": 100, "entropy": 0.01})
    together = trained(config, (0, 1, 5))
    for position, seed in enumerate((0, 1, 5)):
        alone = trained(config, (seed,))
        for group in ("parameters", "m", "v"):
            for name, tensor in getattr(alone, group).items():
                assert torch.equal(tensor[0], getattr(together, group)[name][position]), (group, name)


def test_the_router_has_its_own_start_and_a_frozen_encoder_freezes_it() -> None:
    config = SwitchConfig(d_sae=F, k=3)
    before = start(config, TrainingConfig(batch=B), D, (0, 1), root=2).parameters
    assert not torch.equal(before["W_router"][0], before["W_router"][1])
    assert torch.allclose(before["W_router"].norm(dim=-1), torch.ones(2, 4))
    assert not torch.equal(trained(config, (0, 1)).parameters["W_router"], before["W_router"])
    held = trained(config.model_copy(update={"freeze": "encoder"}), (0, 1)).parameters
    assert torch.equal(held["W_router"], before["W_router"]) and torch.equal(held["b_router"], before["b_router"])


@pytest.mark.parametrize("config", CONFIGS)
def test_the_fast_engine_trains_them(config: Routed) -> None:
    assert choose(config, TrainingConfig())[0].name == "cpu"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (SwitchConfig(d_sae=30, k=3), r"experts = 4 does not divide d_sae = 30: choose d_sae = 28 or 32, or another"),
        (SwitchConfig(d_sae=3, k=1), r"experts = 4 does not divide d_sae = 3: choose d_sae = 4, or another"),
        (ExpertTopKConfig(d_sae=32, k=3, active_experts=5), r"active_experts = 5 is more than experts = 4"),
        (SwitchConfig(d_sae=32, k=8), r"k = 8 leaves no choice among the 8 latents of 1 of 4 experts \(d_sae = 32\)"),
        (ExpertTopKConfig(d_sae=32, k=16, active_experts=2), r"k = 16 leaves no choice among the 16 .* below 16"),
        (GlobalMaskConfig(d_sae=32, k=32), r"k = 32 is not sparse"),
    ],
)
def test_sizes_that_cannot_work_are_one_clear_line(config: Routed, says: str) -> None:
    with pytest.raises(UserError, match=says) as told:
        check_sizes(config, 64)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("config", [SwitchConfig(), ExpertTopKConfig(), GlobalMaskConfig()])
def test_the_defaults_can_work(config: Routed) -> None:
    assert check_sizes(config, 256) == []
    assert math.isfinite(config.balance) and "active_experts" not in SwitchConfig().plain()


def test_one_expert_is_refused() -> None:
    """Its probability is 1 whatever the router says: nothing could be learned."""
    with pytest.raises(UserError, match="experts"):
        SwitchConfig.parse({"d_sae": 32, "k": 4, "experts": 1})
