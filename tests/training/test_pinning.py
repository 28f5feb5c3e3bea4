"""Pinned latents: copied at step 0, moved by nothing, the rest trained; alone and in a stack, cut and gone on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from husai import events
from husai.activations.stream import Batches, Feed
from husai.errors import Interrupted, Refused, UserError
from husai.saes.config import (
    AlignedConfig,
    AnySAEConfig,
    ArchetypalConfig,
    BatchTopKConfig,
    GatedConfig,
    GBAConfig,
    JacobianConfig,
    JumpReluConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
    PCAConfig,
    RandomConfig,
    ReluL1Config,
    RouteConfig,
    SkipTranscoderConfig,
    SwitchConfig,
    TopKConfig,
)
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.training.config import TrainingConfig
from husai.training.coupling.config import PinningConfig
from husai.training.coupling.couple import Tie, couple
from husai.training.coupling.pinning import Pinning
from husai.training.engines.choose import choose
from husai.training.engines.cpu import CpuEngine
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start
from husai.training.trainer import Job, train

Engine = Literal["auto", "reference", "cpu"]
D, F, B = 10, 24, 40
X = np.random.default_rng(0).normal(size=(300, D)).astype(np.float32)
CONFIGS: list[AnySAEConfig] = [
    TopKConfig(d_sae=F, k=3, aux_k=5, dead_after=100, decorrelation=0.5),
    TopKConfig(d_sae=F, k=3, freeze="soft_decoder"),
    ReluL1Config(d_sae=F, l1=0.1, decoder_norm="projected"),
    GatedConfig(d_sae=F, l1=0.1),
    JumpReluConfig(d_sae=F, bandwidth=0.1, threshold=0.1, l0_target=4.0),
    JumpReluConfig(d_sae=F, bandwidth=0.1, threshold_as="value"),
    GBAConfig(d_sae=F, window=100, rate=0.3),
    BatchTopKConfig(d_sae=F, k=3),
    MatryoshkaConfig(d_sae=F, k=3),
    MatchingPursuitConfig(d_sae=F, k=3),
    AlignedConfig(d_sae=F, k=3),
    SkipTranscoderConfig(d_sae=F, k=3, d_out=4),
]


def reference_of(config: AnySAEConfig, seed: int = 99) -> SAE:
    """Random parameters: norms, biases and thresholds that no step would leave as they are."""
    generator, p = torch.Generator().manual_seed(seed), {}
    for name, shape in architecture(config).shapes(config, D).items():
        p[name] = 0.5 * torch.randn(shape, generator=generator)
        if name == "threshold":
            p[name] = p[name].abs()
    return SAE(config, p, torch.zeros(D), 1.0)


def pinning_of(config: AnySAEConfig, fraction: float = 0.5) -> Pinning:
    made = couple(PinningConfig(fraction=fraction), [Tie(config, D, 7, reference_of(config))])
    assert isinstance(made, Pinning)
    return made


def job(
    config: AnySAEConfig, seeds: tuple[int, ...], steps: int, coupling: Pinning | None, engine: Engine = "auto"
) -> Job:
    settings = TrainingConfig(steps=steps, batch=B, lr=5e-3, engine=engine)
    feed = Feed(X, Batches(len(X), B, 7, seeds, shared_order=False))
    return Job(config, settings, D, seeds, 7, feed.batch, "same", "test", coupling)


def equal(a: TrainState, b: TrainState, i: int, j: int) -> bool:
    pairs = [(x[name][i], y[name][j]) for x, y in ((a.parameters, b.parameters), (a.m, b.m), (a.v, b.v)) for name in x]
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_pinned_latents_keep_every_bit_and_the_others_move(
    config: AnySAEConfig, engine: Engine, tmp_path: Path
) -> None:
    coupling = pinning_of(config)
    trained = train(job(config, (0, 1), 60, coupling, engine), tmp_path).final
    pinned, its = coupling.pinned_F, coupling.reference
    per_latent = {n for n in its if n in architecture(config).per_latent}
    assert pinned.sum() == F // 2 and {"W_enc", "W_dec"} < per_latent
    before = start(config, TrainingConfig(), D, (0, 1), 7, coupling=coupling).parameters
    for name in per_latent:
        assert torch.equal(trained.parameters[name][:, pinned], its[name][pinned].expand(2, -1, *its[name].shape[1:]))
        assert torch.equal(trained.m[name][:, pinned], torch.zeros_like(trained.m[name][:, pinned])), name
    for name in ("W_enc", "W_dec"):
        moved = (trained.parameters[name][:, ~pinned] - before[name][:, ~pinned]).flatten(2).norm(dim=-1)
        assert (moved > 0).float().mean() > 0.5, name
    assert torch.equal(before["b_dec"], its["b_dec"].expand(2, -1))
    assert not torch.equal(trained.parameters["b_dec"], before["b_dec"])


@pytest.mark.parametrize("engine", [ReferenceEngine, CpuEngine])
def test_the_gradients_of_the_others_are_those_without_pinning(engine: type[ReferenceEngine | CpuEngine]) -> None:
    """One step from the same parameters with and without: unpinned latents move by the same bits."""
    config = CONFIGS[0]
    coupling, training = pinning_of(config), TrainingConfig(batch=B)
    with_it, without = (start(config, training, D, (0,), 7, coupling=coupling) for _ in range(2))
    x = torch.from_numpy(X[None, :B].copy())
    engine(config, training, coupling).step(with_it, x, 1e-2)
    engine(config, training).step(without, x, 1e-2)
    rest = ~coupling.pinned_F
    for name in coupling.names:
        assert torch.equal(with_it.parameters[name][:, rest], without.parameters[name][:, rest]), name
        assert not torch.equal(with_it.parameters[name][:, ~rest], without.parameters[name][:, ~rest]), name
    assert torch.equal(with_it.parameters["b_dec"], without.parameters["b_dec"])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_a_seed_of_a_stack_equals_that_seed_alone(config: AnySAEConfig, tmp_path: Path) -> None:
    together = train(job(config, (0, 1, 5), 40, pinning_of(config)), tmp_path / "all").final
    for place, seed in enumerate((0, 1, 5)):
        alone = train(job(config, (seed,), 40, pinning_of(config)), tmp_path / str(seed)).final
        assert equal(together, alone, place, 0)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("stop_at", [1, 17, 40, 45])
def test_an_interrupted_training_ends_with_the_same_bits(stop_at: int, engine: Engine, tmp_path: Path) -> None:
    whole = train(job(CONFIGS[0], (0, 1), 50, pinning_of(CONFIGS[0]), engine), tmp_path / "whole").final
    cut = job(CONFIGS[0], (0, 1), 50, pinning_of(CONFIGS[0]), engine)
    calls = iter(range(10**6))

    def batch_at(step: int) -> torch.Tensor:
        if next(calls) == stop_at:
            events.request_stop()
        return cut.batch_at(step)

    with pytest.raises(Interrupted):
        train(replace(cut, batch_at=batch_at), tmp_path / "cut")
    events.clear_stop()
    again = train(cut, tmp_path / "cut").final
    assert all(equal(whole, again, place, place) for place in range(2))


def test_which_latents_are_pinned_follows_from_the_root_and_the_fraction() -> None:
    config = CONFIGS[0]
    few, more = pinning_of(config, 0.25).pinned_F, pinning_of(config, 0.75).pinned_F
    assert few.sum() == 6 and more.sum() == 18 and (more | ~few).all()
    assert torch.equal(few, pinning_of(config, 0.25).pinned_F)
    other = couple(PinningConfig(fraction=0.25), [Tie(config, D, 8, reference_of(config))])
    assert isinstance(other, Pinning) and not torch.equal(few, other.pinned_F)
    assert pinning_of(config, 1e-9).pinned_F.sum() == 1


def test_the_engine_is_the_one_that_the_architecture_has_without_it() -> None:
    for config, name in ((TopKConfig(d_sae=F, k=3), "cpu"), (GatedConfig(d_sae=F, l1=0.1), "reference")):
        assert choose(config, TrainingConfig(), pinning_of(config))[0].name == name
    with pytest.raises(UserError, match="engine cpu cannot run this: gated"):
        choose(config, TrainingConfig(engine="cpu"), pinning_of(config))


@pytest.mark.parametrize(
    "config",
    [SwitchConfig(d_sae=F, k=2), RouteConfig(d_sae=F, k=2), PCAConfig(d_sae=4), RandomConfig(d_sae=F, k=2),
     ArchetypalConfig(d_sae=F, k=2)],
    ids=lambda c: c.kind,
)  # fmt: skip
def test_what_cannot_be_pinned_on_both_sides_is_refused(config: AnySAEConfig) -> None:
    with pytest.raises(Refused, match=f"{config.kind} cannot be pinned"):
        couple(PinningConfig(), [Tie(config, D, 7, reference_of(config))])


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (ReluL1Config(d_sae=F), "architecture relu_l1, what is tied to it topk"),
        (TopKConfig(d_sae=F + 1, k=3), "d_sae 25, what is tied to it 24"),
        (TopKConfig(d_sae=F, k=3, subtract_b_dec=False), "subtract_b_dec False, what is tied to it True"),
    ],
)
def test_a_reference_that_is_read_differently_is_refused(other: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        couple(PinningConfig(), [Tie(TopKConfig(d_sae=F, k=3), D, 7, reference_of(other))])


def test_every_parameter_of_a_latent_is_named() -> None:
    """No axis is guessed from a shape, so names are written down: with sizes that no two axes share, all are there."""
    for config in [*CONFIGS, JacobianConfig(d_sae=F, k=3, d_mlp=7)]:
        arch = architecture(config)
        if arch.per_latent:
            shapes = arch.shapes(config, D)
            by_shape = {n for n, shape in shapes.items() if shape[:1] == (F,)} - {"fired", "peak"}
            assert by_shape == {n for n in shapes if n in arch.per_latent}, config.kind
