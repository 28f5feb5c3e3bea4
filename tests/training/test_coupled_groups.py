"""Couplings in groups: nothing crosses groups; what is held goes where the state goes; weight 0 is no coupling.

Sizes are such that no seed after the first starts on a 64-byte boundary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from husai import events
from husai.activations.stream import Batches, Feed
from husai.errors import Interrupted, UserError
from husai.saes.config import AnySAEConfig, BatchTopKConfig, TopKConfig
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.stability.metrics import mean_max_cos
from husai.training.config import TrainingConfig
from husai.training.coupling.config import (
    AlignmentConfig,
    AnyCoupling,
    AssignmentConfig,
    ContrastiveConfig,
    JointConfig,
    PinningConfig,
    penalty,
)
from husai.training.coupling.contrastive import Contrastive
from husai.training.coupling.couple import Tie, couple
from husai.training.coupling.coupling import Coupling
from husai.training.coupling.grouped import Grouped
from husai.training.coupling.joint import Joint
from husai.training.coupling.pinning import Pinning
from husai.training.engines.choose import choose
from husai.training.schedules import trunk_end
from husai.training.state import TrainState, load_state
from husai.training.trainer import TRUNK, Job, train

Engine = Literal["auto", "reference", "cpu"]
D, F, B, EVERY = 9, 23, 40, 5
X = np.random.default_rng(0).normal(size=(300, D)).astype(np.float32)
SAE_CONFIG = TopKConfig(d_sae=F, k=3)
COUPLINGS: list[AnyCoupling] = [
    AlignmentConfig(weight=0.5),
    AssignmentConfig(weight=0.5, every=EVERY),
    JointConfig(weight=0.5, every=EVERY),
    ContrastiveConfig(weight=0.5, anchors=6),
    PinningConfig(),
]
BOTH = pytest.mark.parametrize("engine", ["reference", "cpu"])
WEIGHTED = [asked for asked in COUPLINGS if not isinstance(asked, PinningConfig)]


def kind(asked: AnyCoupling) -> str:
    return asked.kind


def sae_of(config: AnySAEConfig, seed: int, d_in: int = D) -> SAE:
    generator, shapes = torch.Generator().manual_seed(seed), architecture(config).shapes(config, d_in)
    return SAE(config, {n: torch.randn(s, generator=generator) for n, s in shapes.items()}, torch.zeros(d_in), 1.0)


def tie(group: int, config: AnySAEConfig = SAE_CONFIG) -> Tie:
    def rows_of(n: int) -> Tensor:
        return torch.from_numpy(X[group * n : (group + 1) * n])

    return Tie(config, D, 7, sae_of(config, 100 + group), rows_of, group)


def job(seeds: tuple[int, ...], steps: int, coupling: Coupling | None, engine: Engine = "reference") -> Job:
    settings = TrainingConfig(steps=steps, batch=B, lr=8e-3, engine=engine)
    feed = Feed(X, Batches(len(X), B, 7, seeds, shared_order=False))
    return Job(SAE_CONFIG, settings, D, seeds, 7, feed.batch, "same", "test", coupling)


def everything(state: TrainState, seeds: slice = slice(None)) -> dict[str, bytes]:
    """All tensors of some seeds, as bytes."""
    groups: dict[str, Parameters] = {"p": state.parameters, "m": state.m, "v": state.v, "held": state.held}
    found = {f"{g}.{name}": t[seeds].numpy().tobytes() for g, tensors in groups.items() for name, t in tensors.items()}
    return found | {"fired": state.last_fired_SF[seeds].numpy().tobytes()}


@pytest.fixture(autouse=True)
def clear() -> Iterator[None]:
    yield
    events.clear_stop()


@BOTH
@pytest.mark.parametrize("asked", COUPLINGS, ids=kind)
def test_another_group_changes_no_bit(asked: AnyCoupling, engine: Engine, tmp_path: Path) -> None:
    """Other seeds in one group, and the other group alone under its number, with its reference."""
    two = couple(asked, [tie(0), tie(1)], 2)
    a = train(job((0, 1, 2, 3), 12, two, engine), tmp_path / "a").final
    b = train(job((0, 1, 12, 13), 12, two, engine), tmp_path / "b").final
    alone = [
        train(job(seeds, 12, couple(asked, [tie(group)]), engine), tmp_path / str(group)).final
        for group, seeds in enumerate([(0, 1), (2, 3)])
    ]
    assert everything(a, slice(0, 2)) == everything(b, slice(0, 2)) == everything(alone[0])
    assert everything(a, slice(2, 4)) == everything(alone[1])
    assert everything(a, slice(2, 4)) != everything(b, slice(2, 4))


@pytest.mark.parametrize("asked", COUPLINGS, ids=kind)
def test_a_group_has_its_own_of_everything(asked: AnyCoupling, tmp_path: Path) -> None:
    """Under the number of another group, or with its reference, a group is trained to something else."""
    two = couple(asked, [tie(0), tie(1)], 2)
    assert isinstance(two, Grouped)
    own, other = (train(job((2, 3), 8, two.parts[i]), tmp_path / str(i)).final for i in (1, 0))
    assert (everything(own) == everything(other)) == isinstance(asked, JointConfig)


def test_what_is_drawn_is_drawn_for_each_group() -> None:
    pinned = couple(PinningConfig(), [replace(tie(0), group=g) for g in range(3)], 2)
    assert isinstance(pinned, Grouped)
    masks = [part.pinned_F for part in pinned.parts if isinstance(part, Pinning)]
    assert len(masks) == 3 and len({tuple(mask.tolist()) for mask in masks}) == 3
    anchored = couple(ContrastiveConfig(), [tie(g) for g in range(3)], 2)
    assert isinstance(anchored, Grouped)
    anchors = [part.anchors_AO for part in anchored.parts if isinstance(part, Contrastive)]
    assert [len(a) for a in anchors] == [F // 2] * 3
    assert (torch.cat(anchors) @ torch.cat(anchors).T).fill_diagonal_(0).max() < 0.9999
    assert torch.allclose(anchors[0].norm(dim=-1), torch.ones(F // 2))


@BOTH
@pytest.mark.parametrize("asked", COUPLINGS, ids=kind)
@pytest.mark.parametrize("stop_at", [8, 17])
def test_cut_between_two_matchings_it_ends_with_the_same_bits(
    asked: AnyCoupling, stop_at: int, engine: Engine, tmp_path: Path
) -> None:
    assert stop_at % EVERY and (stop_at + 1) % EVERY
    coupling = couple(asked, [tie(0), tie(1)], 2)
    whole = train(job((0, 1, 2, 3), 18, coupling, engine), tmp_path / "whole")
    cut, calls = job((0, 1, 2, 3), 18, coupling, engine), iter(range(10**6))

    def batch_at(step: int) -> Tensor:
        if next(calls) == stop_at:
            events.request_stop()
        return cut.batch_at(step)

    with pytest.raises(Interrupted):
        train(replace(cut, batch_at=batch_at), tmp_path / "cut")
    events.clear_stop()
    again = train(cut, tmp_path / "cut")
    assert everything(whole.final) == everything(again.final)
    assert everything(whole.trunk) == everything(again.trunk)
    assert {"partner": {"held.partner"}, "partners": {"held.partners"}}.get(
        {"assignment": "partner", "joint": "partners"}.get(asked.kind, ""), set()
    ) == {name for name in everything(whole.final) if name.startswith("held.")}


@BOTH
@pytest.mark.parametrize("asked", COUPLINGS, ids=kind)
def test_a_larger_budget_goes_on_from_the_trunk(asked: AnyCoupling, engine: Engine, tmp_path: Path) -> None:
    coupling = couple(asked, [tie(0), tie(1)], 2)
    half, whole = (job((0, 1, 2, 3), steps, coupling, engine) for steps in (9, 18))
    assert trunk_end(half.training, 9) % EVERY
    train(half, tmp_path / "half")
    trunk = load_state(tmp_path / "half" / TRUNK, "same")
    on, scratch = train(whole, tmp_path / "on", trunk).final, train(whole, tmp_path / "scratch").final
    assert everything(on) == everything(scratch)


@BOTH
@pytest.mark.parametrize("asked", WEIGHTED, ids=kind)
def test_weight_zero_is_no_coupling_bit_for_bit(asked: AnyCoupling, engine: Engine, tmp_path: Path) -> None:
    nothing = couple(asked.model_copy(update={"weight": 0.0}), [tie(0), tie(1)], 2)
    with_it = train(job((0, 1, 2, 3), 12, nothing, engine), tmp_path / "with").final
    without = train(job((0, 1, 2, 3), 12, None, engine), tmp_path / "without").final
    bits = everything(with_it)
    assert {name: bits[name] for name in everything(without)} == everything(without)
    assert all((values == 0).all() for values in with_it.history[asked.kind].values())
    tied = couple(asked, [tie(0), tie(1)], 2)
    coupled = train(job((0, 1, 2, 3), 12, tied, engine), tmp_path / "coupled").final
    assert not torch.equal(coupled.parameters["W_dec"], without.parameters["W_dec"])


@pytest.mark.parametrize("asked", WEIGHTED, ids=kind)
def test_agreement_rises_inside_groups_and_need_not_between_them(asked: AnyCoupling, tmp_path: Path) -> None:
    """The rows are isotropic: there is nothing to agree about."""
    strong = asked.model_copy(update={"weight": 5.0} | ({"anchors": 23} if asked.kind == "contrastive" else {}))
    coupled, free = (
        train(job((0, 1, 2, 3), 50, coupling), tmp_path / str(coupling is None)).final.parameters["W_dec"].numpy()
        for coupling in (couple(strong, [tie(0), tie(1)], 2), None)
    )

    def mean(W: np.ndarray, pairs: list[tuple[int, int]]) -> float:
        return float(np.mean([mean_max_cos(W[i], W[j]) for i, j in pairs]))

    inside, between = [(0, 1), (2, 3)], [(0, 2), (0, 3), (1, 2), (1, 3)]
    rise = mean(coupled, inside) - mean(free, inside)
    assert rise > 0.05
    assert mean(coupled, between) - mean(free, between) < rise / 2


@pytest.mark.parametrize("asked", [c for c in COUPLINGS if c.needs_reference], ids=kind)
def test_a_reference_of_another_kind_is_refused(asked: AnyCoupling) -> None:
    batchtopk, wide = BatchTopKConfig(d_sae=F, k=3), sae_of(SAE_CONFIG, 1, d_in=D + 1)
    for reference, says in ((sae_of(batchtopk, 1), "architecture batchtopk"), (wide, f"width {D + 1}")):
        with pytest.raises(UserError, match=f"the reference has {says}, what is tied to it"):
            couple(asked, [replace(tie(0), reference=reference)])
    with pytest.raises(UserError, match=f"the coupling {asked.kind} needs a reference"):
        couple(asked, [replace(tie(0), reference=None)])


def test_one_to_one_needs_as_many_latents() -> None:
    larger = sae_of(SAE_CONFIG.model_copy(update={"d_sae": F + 1}), 1)
    with pytest.raises(UserError, match=f"d_sae {F + 1}, what is tied to it {F}"):
        couple(AssignmentConfig(), [replace(tie(0), reference=larger)])


def test_one_seed_has_nobody_to_agree_with() -> None:
    with pytest.raises(UserError, match="at least two seeds in a group"):
        Joint(1.0, 1.0).pull(0, torch.randn(1, F, D), {})


def test_rows_that_are_not_finite_are_named_as_what_they_are() -> None:
    with pytest.raises(UserError, match="not finite: lower the learning rate"):
        Joint(1.0, 1.0).pull(0, torch.full((2, F, D), float("nan")), {})


@pytest.mark.parametrize("asked", COUPLINGS, ids=kind)
def test_what_is_said(asked: AnyCoupling) -> None:
    alone, grouped = couple(asked, [tie(0)]).says(), couple(asked, [tie(0), tie(1)], 2).says()
    assert alone.startswith(f"coupling {asked.kind}: ") and "partly put in, not found" in alone
    assert "what decides is stability between groups" in alone
    assert grouped == f"{alone}; here 2 groups of 2 seeds, and mcc_signed.between_groups decides"
    engine, why = choose(SAE_CONFIG, TrainingConfig(), couple(asked, [tie(0), tie(1)], 2))
    assert (engine.name, why) == ("cpu", "sparse codes")
    said = penalty(asked)
    assert said == {} if isinstance(asked, PinningConfig) else said["coupling.weight"].startswith("times V times")
    assert penalty(asked.model_copy(update={"weight": 0.0})) == {} or isinstance(asked, PinningConfig)
