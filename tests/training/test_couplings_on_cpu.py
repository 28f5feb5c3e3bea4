"""Couplings on the engine `cpu`: one step against autograd in float64, more against `reference`, where a pull that is
missing, doubled, or another group's would show.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.saes.architecture import Batch
from husai.saes.config import (
    AbsTopKConfig,
    AlignedConfig,
    AnySAEConfig,
    BatchTopKConfig,
    MatryoshkaConfig,
    SkipTranscoderConfig,
    SwitchConfig,
    TopKConfig,
)
from husai.saes.objective import loss_terms
from husai.saes.parameters import across
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.training.config import TrainingConfig
from husai.training.coupling.config import (
    AlignmentConfig,
    AnyCoupling,
    AssignmentConfig,
    ContrastiveConfig,
    JointConfig,
    PinningConfig,
)
from husai.training.coupling.couple import Tie, couple
from husai.training.coupling.coupling import Coupling
from husai.training.dead import dead_mask
from husai.training.engines.cpu import CpuEngine
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

S, D, F, B, STEPS, EVERY = 4, 13, 40, 100, 12, 5
SEEDS = tuple(range(S))
AUX = {"aux_k": 6, "dead_after": 400}
COUPLINGS: list[AnyCoupling] = [
    AlignmentConfig(weight=0.3),
    AssignmentConfig(weight=0.3, every=EVERY),
    JointConfig(weight=0.3, every=EVERY),
    ContrastiveConfig(weight=1.0, anchors=12),
    PinningConfig(),
]
WEIGHTED = [asked for asked in COUPLINGS if not isinstance(asked, PinningConfig)]
CONFIGS: list[AnySAEConfig] = [
    TopKConfig(d_sae=F, k=4, decoder_norm="unit", **AUX),
    TopKConfig(d_sae=F, k=4, decoder_norm="free", decorrelation=0.3),
    TopKConfig(d_sae=F, k=4, decoder_norm="projected", decorrelation=0.3, **AUX),
    TopKConfig(d_sae=F, k=4, song_l1=0.02),
    TopKConfig(d_sae=F, k=4, freeze="soft_decoder"),
    TopKConfig(d_sae=F, k=4, freeze="encoder"),
    TopKConfig(d_sae=F, k=4, freeze="decoder"),
    AbsTopKConfig(d_sae=F, k=4),
    AlignedConfig(d_sae=F, k=4),
    BatchTopKConfig(d_sae=F, k=4, **AUX),
    MatryoshkaConfig(d_sae=F, k=4, prefixes=(4, 17, F)),
    SkipTranscoderConfig(d_sae=F, k=4, d_out=5),
    SwitchConfig(d_sae=F, k=4),
]


def named(value: AnyCoupling | AnySAEConfig) -> str:
    return f"{value.kind}-{value.model_dump(exclude_defaults=True)}"


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(step: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return (draw(S, B, D, seed=step) * torch.linspace(0.3, 2, D) + 0.2).to(dtype)


def tied(asked: AnyCoupling, config: AnySAEConfig, order: tuple[int, int] = (0, 1), double: bool = False) -> Coupling:
    """Two groups of two seeds, each with a reference and anchors of its own."""
    change = torch.Tensor.double if double else torch.Tensor.float

    def tie(group: int) -> Tie:
        shapes = architecture(config).shapes(config, D)
        parameters = {n: change(0.5 * draw(*shape, seed=100 + group)) for n, shape in shapes.items()}
        its = SAE(config, parameters, torch.zeros(D), 1.0)
        return Tie(config, D, 7, its, lambda n: change(draw(n, D, seed=200 + group)), group)

    return couple(asked, [tie(group) for group in order], 2)


def begin(config: AnySAEConfig, coupling: Coupling | None, double: bool = False) -> TrainState:
    """Some latents dead, decoder rows of lengths that differ where they may."""
    made = start(config, TrainingConfig(), D, SEEDS, root=5, coupling=coupling)
    if config.decoder_norm == "free":
        made.parameters["W_dec"] *= torch.linspace(0.5, 2, F)[:, None]
    made.parameters["b_enc"][:, :10] -= 3.0
    made.last_fired_SF[:, :10] = -1000
    if coupling is not None:
        coupling.start_(made.parameters)
    if double:
        for group in (made.parameters, made.m, made.v):
            group |= {name: tensor.double() for name, tensor in group.items()}
    return made


@pytest.mark.parametrize("asked", WEIGHTED, ids=named)
@pytest.mark.parametrize("config", CONFIGS, ids=named)
def test_gradients_are_those_of_the_loss_and_of_the_pull(asked: AnyCoupling, config: AnySAEConfig) -> None:
    """With beta1 = 0 the first moment after a step is the gradient; the pull itself is checked in the traps."""
    coupling = tied(asked, config, double=True)
    made, x = begin(config, coupling, double=True), rows(0, torch.float64)
    arch, before = architecture(config), {name: tensor.clone() for name, tensor in made.parameters.items()}
    extra, pull_SFO = coupling.pull(0, before["W_dec"], {})
    assert pull_SFO is not None
    dead_SF = [dead_mask(made.last_fired_SF[seed], 0, config.dead_after) for seed in SEEDS]
    found = CpuEngine(config, TrainingConfig(batch=B, beta1=0.0), coupling).step(made, x, 1e-3)
    for seed in SEEDS:
        p = {name: tensor[seed].clone().requires_grad_() for name, tensor in before.items()}
        terms, _ = loss_terms(arch, config, p, Batch(*arch.split(config, x[seed]), dead_SF[seed]))
        total = torch.stack(list(terms.values())).sum()
        grads = torch.autograd.grad(total, list(p.values()), materialize_grads=True)
        wanted = dict(zip(p, grads, strict=True))
        wanted["W_dec"] = wanted["W_dec"] + pull_SFO[seed]
        if config.decoder_norm == "projected":
            wanted["W_dec"] = across(wanted["W_dec"], before["W_dec"][seed])
        frozen = {"encoder": ("W_enc", "b_enc"), "decoder": ("W_dec",)}.get(config.freeze, ())
        for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
            gradient = torch.zeros_like(wanted[name]) if name in frozen else wanted[name]
            assert (made.m[name][seed] - gradient).abs().max() <= 1e-9 * wanted[name].abs().max(), name
        told = {name: float(term.detach()) for name, term in {**terms, **extra[seed]}.items()}
        assert {name: float(term) for name, term in found[seed].items()} == pytest.approx(told, rel=1e-6)


def run(engine: CpuEngine | ReferenceEngine, made: TrainState) -> list[dict[str, float]]:
    terms = [engine.step(made, rows(step), 3e-3) for step in range(STEPS)][-1]
    return [{name: float(term) for name, term in seed.items()} for seed in terms]


def far(a: TrainState, b: TrainState) -> float:
    """Largest difference of a weight, over what is allowed between engines."""
    names = a.parameters.keys() - {"threshold"}
    return max(float((a.parameters[n] - b.parameters[n]).abs().max()) for n in names) / 2e-4


@pytest.mark.parametrize("asked", COUPLINGS, ids=named)
@pytest.mark.parametrize("config", CONFIGS, ids=named)
def test_a_few_steps_equal_the_reference(asked: AnyCoupling, config: AnySAEConfig) -> None:
    """Matchings are found three times; nothing is wrong that would be as small as what is allowed."""
    if isinstance(asked, PinningConfig) and config.kind == "switch":
        return  # refused
    training, coupling = TrainingConfig(batch=B, lr=3e-3), tied(asked, config)
    ours, theirs = begin(config, coupling), begin(config, coupling)
    found = run(CpuEngine(config, training, coupling, rounded=False), ours)
    wanted = run(ReferenceEngine(config, training, coupling), theirs)
    assert far(ours, theirs) <= 1
    assert torch.equal(ours.last_fired_SF, theirs.last_fired_SF)
    assert ours.held.keys() == theirs.held.keys()
    assert all(torch.equal(ours.held[name], theirs.held[name]) for name in ours.held)
    for seed, its in zip(found, wanted, strict=True):
        assert seed == pytest.approx(its, rel=1e-3, abs=1e-5)


WRONG = {
    "no pull": lambda asked: asked.model_copy(update={"weight": 0.0}),
    "twice the pull": lambda asked: asked.model_copy(update={"weight": 2 * asked.weight}),
}


@pytest.mark.parametrize("asked", WEIGHTED, ids=named)
@pytest.mark.parametrize("config", CONFIGS[:3], ids=named)
def test_what_is_allowed_is_small_beside_what_could_be_wrong(asked: AnyCoupling, config: AnySAEConfig) -> None:
    training = TrainingConfig(batch=B, lr=3e-3)
    theirs = begin(config, coupling := tied(asked, config))
    run(ReferenceEngine(config, training, coupling), theirs)
    others = {name: tied(wrong(asked), config) for name, wrong in WRONG.items()}
    if asked.kind != "joint":
        others["the other group"] = tied(asked, config, order=(1, 0))
    for name, other in others.items():
        run(CpuEngine(config, training, other, rounded=False), made := begin(config, other))
        assert far(made, theirs) > 10, name


@pytest.mark.parametrize("asked", COUPLINGS, ids=named)
@pytest.mark.parametrize("shared", [True, False])
def test_seeds_on_lanes_of_their_own_get_the_same_bits(
    asked: AnyCoupling, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each coupling sees the decoders as they were before any seed moved, whichever seed is done first."""
    monkeypatch.setattr("husai.training.engines.cpu.SIDE_BY_SIDE", 0 if shared else 2**24)
    config, training = CONFIGS[0].model_copy(update={"d_sae": 560}), TrainingConfig(batch=B)
    coupling, made = tied(asked, config), []
    for threads in (1, 3):
        state = start(config, training, D, SEEDS, 5, coupling=coupling)
        engine = CpuEngine(config, training, coupling, threads=threads)
        for step in range(4):
            engine.step(state, rows(step), 1e-2)
        made.append(state)
    for name, tensor in made[0].parameters.items():
        assert torch.equal(tensor, made[1].parameters[name]), name


def test_latents_that_are_kept_are_screened_as_they_are() -> None:
    """Steps so long that a screen which saw the pinned rows before they were put back would miss codes."""
    config, training = CONFIGS[0], TrainingConfig(batch=B)
    coupling, made = tied(PinningConfig(), config), []
    for rounded in (True, False):
        made.append(begin(config, coupling))
        engine = CpuEngine(config, training, coupling, rounded=rounded)
        for step in range(4):
            engine.step(made[-1], rows(step), 3.0)
    for name, tensor in made[0].parameters.items():
        assert torch.equal(tensor, made[1].parameters[name]), name
