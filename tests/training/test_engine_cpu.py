"""The engine `cpu` against float64 autograd, against `reference`, against itself in a stack and with more threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.config import (
    AbsTopKConfig,
    AlignedConfig,
    AnySAEConfig,
    BatchTopKConfig,
    ExpertTopKConfig,
    GlobalMaskConfig,
    MatryoshkaConfig,
    ReluL1Config,
    SkipTranscoderConfig,
    SwitchConfig,
    TopKConfig,
    TranscoderConfig,
)
from husai.saes.objective import loss_terms
from husai.saes.registry import architecture
from husai.training.config import TrainingConfig
from husai.training.dead import dead_mask
from husai.training.engines.choose import choose
from husai.training.engines.cpu import CpuEngine
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

# With beta1 = 0 the first moment after a step is the gradient of that step.
BARE = {"beta1": 0.0, "lr": 1e-3}


def rows(seeds: int, batch: int, d_in: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    x = torch.randn(seeds, batch, d_in, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x * torch.linspace(0.3, 2, d_in, dtype=torch.float64) + 0.2).to(dtype)


def state(
    config: AnySAEConfig, d_in: int, seeds: tuple[int, ...] = (0,), dtype: torch.dtype = torch.float32
) -> TrainState:
    made = start(config, TrainingConfig(), d_in, seeds, root=5)
    generator = torch.Generator().manual_seed(9)
    for group in (made.parameters, made.m, made.v):
        for name in group:
            group[name] = group[name].to(dtype)
    for name in {
        "b_enc",
        "b_dec",
        "b_router",
    } & made.parameters.keys():  # away from the zeros where mistakes of sign do not show
        made.parameters[name] += 0.1 * torch.randn(made.parameters[name].shape, generator=generator, dtype=dtype)
    return made


def autograd(config: AnySAEConfig, before: TrainState, x_BD: torch.Tensor) -> tuple[dict, dict]:
    """Loss terms and gradients by the readable objective, which shares no code with the kernels."""
    p = {name: t[0].detach().clone().requires_grad_() for name, t in before.parameters.items()}
    dead = dead_mask(before.last_fired_SF[0], before.step * len(x_BD), config.dead_after)
    arch = architecture(config)
    terms, _ = loss_terms(arch, config, p, Batch(*arch.split(config, x_BD), dead))
    grads = torch.autograd.grad(sum(terms.values()), list(p.values()), materialize_grads=True)
    return {name: t.detach() for name, t in terms.items()}, dict(zip(p, grads, strict=True))


@pytest.mark.parametrize(("aux_k", "dead"), [(0, 0), (0, 9), (5, 9), (9, 9), (30, 9), (4, 40)])
@pytest.mark.parametrize(("d_in", "d_sae", "k"), [(12, 40, 3), (16, 70, 7), (5, 41, 1)])
def test_gradients_equal_float64_autograd(aux_k: int, dead: int, d_in: int, d_sae: int, k: int) -> None:
    config = TopKConfig(d_sae=d_sae, k=k, aux_k=aux_k, dead_after=100, aux_coefficient=0.3)
    made, x = state(config, d_in, dtype=torch.float64), rows(1, 90, d_in, torch.float64)
    made.last_fired_SF[0, :dead] = -1000
    terms, wanted = autograd(config, made, x[0])
    (found,) = CpuEngine(config, TrainingConfig(batch=90, **BARE)).step(made, x, 1e-3)
    assert set(found) == set(terms)
    for name, value in terms.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-6)
    for name, gradient in wanted.items():
        error = (made.m[name][0] - gradient).abs().max()
        assert error <= 1e-10 * gradient.abs().max(), name  # equal where there is none, as for buffers


OTHERS: list[AnySAEConfig] = [
    AbsTopKConfig(d_sae=40, k=3, aux_k=5, dead_after=100),
    TopKConfig(d_sae=40, k=3, subtract_b_dec=False, aux_k=5, dead_after=100),
    TopKConfig(d_sae=40, k=3, song_l1=0.02),
    TopKConfig(d_sae=40, k=3, decorrelation=0.7, aux_k=5, dead_after=100),
    TranscoderConfig(d_sae=40, k=3, d_out=5, aux_k=5, dead_after=100),
    SkipTranscoderConfig(d_sae=40, k=3, d_out=5, aux_k=5, dead_after=100, decorrelation=0.2),
    AlignedConfig(d_sae=40, k=3, aux_k=5, dead_after=100),
    BatchTopKConfig(d_sae=40, k=3, aux_k=5, dead_after=100),
    BatchTopKConfig(d_sae=40, k=2.63),
    BatchTopKConfig(d_sae=40, k=30, subtract_b_dec=False),  # more than there are positive pre-activations
    MatryoshkaConfig(d_sae=40, k=3, prefixes=(4, 17, 40), aux_k=5, dead_after=100),
    MatryoshkaConfig(d_sae=40, k=5, decorrelation=0.2, threshold_momentum=0.5),
    SwitchConfig(d_sae=40, k=3, balance=0.7, entropy=-0.3, aux_k=5, dead_after=100),
    SwitchConfig(d_sae=40, k=3, balance=0.0, subtract_b_dec=False, decorrelation=0.2),
    ExpertTopKConfig(d_sae=40, k=3, experts=5, active_experts=2, entropy=0.2),
    GlobalMaskConfig(d_sae=40, k=7, active_experts=2, entropy=0.2, aux_k=5, dead_after=100),
]


@pytest.mark.parametrize("config", OTHERS, ids=lambda c: f"{c.kind}-{c.model_dump(exclude_defaults=True)}")
def test_gradients_of_other_options_equal_float64_autograd(config: AnySAEConfig) -> None:
    made, x = state(config, 12, dtype=torch.float64), rows(1, 90, 12, torch.float64)
    if "W_skip" in made.parameters:
        made.parameters["W_skip"] += 0.1 * rows(1, 5, 7, torch.float64, seed=3)
    made.last_fired_SF[0, :9] = -1000
    terms, wanted = autograd(config, made, x[0])
    (found,) = CpuEngine(config, TrainingConfig(batch=90, **BARE)).step(made, x, 1e-3)
    assert {name: float(term) for name, term in found.items()} == pytest.approx(
        {name: float(term) for name, term in terms.items()}, rel=1e-6
    )
    for name, gradient in wanted.items():
        error = (made.m[name][0] - gradient).abs().max()
        assert error <= 1e-10 * gradient.abs().max(), name  # equal where there is none, as for buffers


@pytest.mark.parametrize(
    "config",
    [
        *OTHERS,
        TopKConfig(d_sae=40, k=3, decoder_norm="projected"),
        TranscoderConfig(d_sae=40, k=3, d_out=5, decoder_norm="projected", freeze="encoder"),
        AlignedConfig(d_sae=40, k=3, freeze="decoder"),
        SwitchConfig(d_sae=40, k=3, freeze="encoder"),
        AlignedConfig(d_sae=40, k=3, decoder_norm="projected", aux_k=5, dead_after=100),
    ],
    ids=lambda c: f"{c.kind}-{c.model_dump(exclude_defaults=True)}",
)
def test_a_few_steps_of_other_options_equal_the_reference(config: AnySAEConfig) -> None:
    training = TrainingConfig(batch=100, lr=3e-3)
    ours, theirs = state(config, 12, (0, 1)), state(config, 12, (0, 1))
    fast, slow = CpuEngine(config, training, rounded=False), ReferenceEngine(config, training)
    for step in range(10):
        x = rows(2, 100, 12, seed=step)
        fast.step(ours, x, 3e-3)
        slow.step(theirs, x, 3e-3)
    for name, tensor in theirs.parameters.items():
        assert torch.allclose(ours.parameters[name], tensor, atol=2e-4), name


@pytest.mark.parametrize("freeze", ["none", "encoder", "decoder", "soft_decoder"])
@pytest.mark.parametrize("norm", ["unit", "free"])
def test_a_few_steps_equal_the_reference(freeze: str, norm: str) -> None:
    config = TopKConfig(d_sae=96, k=6, aux_k=20, dead_after=700, freeze=freeze, decoder_norm=norm)
    training = TrainingConfig(batch=200, lr=3e-3)
    ours, theirs = state(config, 24, (0, 1)), state(config, 24, (0, 1))
    for made in (ours, theirs):
        made.parameters["b_enc"][:, :30] -= 4.0  # so that some are dead all along
    fast, slow = CpuEngine(config, training), ReferenceEngine(config, training)
    for step in range(12):
        x = rows(2, 200, 24, seed=step)
        terms, wanted = fast.step(ours, x, 3e-3), slow.step(theirs, x, 3e-3)
    assert [set(t) for t in terms] == [set(t) for t in wanted]
    assert all("aux" in t for t in wanted)
    for name in ours.parameters:
        torch.testing.assert_close(ours.parameters[name], theirs.parameters[name], rtol=2e-4, atol=2e-5)
    assert torch.equal(ours.last_fired_SF, theirs.last_fired_SF)


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 5), st.integers(1, 3), st.sampled_from([(8, 30, 3), (32, 300, 20), (20, 130, 1)]), st.booleans())
def test_a_seed_gets_the_same_bits_in_a_stack_alone_and_with_any_threads(seeds, threads, sizes, rounded) -> None:
    d_in, d_sae, k = sizes
    config = TopKConfig(d_sae=d_sae, k=k, aux_k=12, dead_after=300)
    training, numbers = TrainingConfig(batch=130), tuple(range(seeds))
    stack = state(config, d_in, numbers)
    together = CpuEngine(config, training, threads=threads, rounded=rounded)
    last = seeds - 1
    alone = state(config, d_in, numbers)
    for group in (alone.parameters, alone.m, alone.v):
        for name in group:
            group[name] = group[name][last:].clone()
    alone.last_fired_SF = alone.last_fired_SF[last:].clone()
    solo = CpuEngine(config, training, threads=1, rounded=not rounded)
    for step in range(5):
        x = rows(seeds, 130, d_in, seed=step)
        terms, own = together.step(stack, x, 1e-2), solo.step(alone, x[last:].clone(), 1e-2)
        assert float(terms[last]["mse"]) == float(own[0]["mse"])
    for name in stack.parameters:
        assert torch.equal(stack.parameters[name][last], alone.parameters[name][0]), name
        assert torch.equal(stack.v[name][last], alone.v[name][0]), name


@pytest.mark.parametrize("config", OTHERS, ids=lambda c: f"{c.kind}-{c.model_dump(exclude_defaults=True)}")
@pytest.mark.parametrize("shared", [True, False])
def test_other_options_give_a_seed_the_same_bits_in_a_stack_alone_and_with_any_threads(
    config: AnySAEConfig, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seeds on three lanes, side by side or sharing them; then the last of them alone, on one lane."""
    monkeypatch.setattr("husai.training.engines.cpu.SIDE_BY_SIDE", 0 if shared else 2**24)
    monkeypatch.setattr("husai.training.engines.screening.LARGEST_TILE", 256)  # several tiles
    config = config.model_copy(update={"d_sae": 560})  # several blocks of latents
    training, stack, alone = TrainingConfig(batch=600), state(config, 13, (0, 1, 2)), state(config, 13, (0, 1, 2))
    for group in (alone.parameters, alone.m, alone.v):
        for name in group:
            group[name] = group[name][2:].clone()
    alone.last_fired_SF = alone.last_fired_SF[2:].clone()
    together, solo = CpuEngine(config, training, threads=3), CpuEngine(config, training, threads=1, rounded=False)
    for step in range(5):
        x = rows(3, 600, 13, seed=step)
        terms, own = together.step(stack, x, 1e-2), solo.step(alone, x[2:].clone(), 1e-2)
        assert {n: float(t) for n, t in terms[2].items()} == {n: float(t) for n, t in own[0].items()}
    for name in stack.parameters:
        assert torch.equal(stack.parameters[name][2], alone.parameters[name][0]), name
        assert torch.equal(stack.v[name][2], alone.v[name][0]), name
    assert torch.equal(stack.last_fired_SF[2], alone.last_fired_SF[0])


@pytest.mark.parametrize("config", OTHERS, ids=lambda c: f"{c.kind}-{c.model_dump(exclude_defaults=True)}")
@pytest.mark.parametrize("rounded", [True, False])
def test_rows_that_are_done_in_full_get_the_same_bits(
    config: AnySAEConfig, rounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, screened, full = TrainingConfig(batch=100), state(config, 12), state(config, 12)
    config = config.model_copy(update={"aux_k": 0})
    CpuEngine(config, training, rounded=rounded).step(screened, rows(1, 100, 12), 1e-2)

    def all_of_them(self, x_BD, square_B, rows, k, into, *beside) -> None:
        into.count_T[:] = -1

    monkeypatch.setattr("husai.training.engines.screening.Screen.candidates", all_of_them)
    monkeypatch.setattr(
        "husai.training.engines.screening.Screen.reaching", lambda *given: all_of_them(*given[:4], 0, given[-1])
    )
    CpuEngine(config, training, rounded=rounded).step(full, rows(1, 100, 12), 1e-2)
    for name in full.parameters:
        assert torch.equal(screened.parameters[name], full.parameters[name]), name


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "config",
    [
        SwitchConfig(d_sae=24, k=3),
        ExpertTopKConfig(d_sae=24, k=5, experts=6, active_experts=3),
        GlobalMaskConfig(d_sae=24, k=7, experts=6, active_experts=3),
        BatchTopKConfig(d_sae=24, k=5),
        MatryoshkaConfig(d_sae=24, k=5),
    ],
    ids=lambda c: c.kind,
)
def test_ties_between_experts_rows_and_latents_fall_as_in_the_reference(config: AnySAEConfig, seed: int) -> None:
    """Weights and rows from {-1, 0, 1}: nearly every row has equal experts and equal latents, exactly equal."""
    rng = np.random.default_rng(seed)
    made, x = state(config, 8, dtype=torch.float64), torch.from_numpy(rng.integers(-1, 2, (1, 80, 8)).astype(float))
    for name in sorted(made.parameters.keys() - {"threshold", "threshold_batches"}):
        tensor = made.parameters[name]
        tensor.copy_(torch.from_numpy(rng.integers(-1, 2, tensor.shape).astype(float)))
    p = {name: tensor[0].clone() for name, tensor in made.parameters.items()}
    codes = architecture(config).objective(config, p, Batch.of(x[0], torch.zeros(24) > 0))[1]
    engine = CpuEngine(config, TrainingConfig(batch=80))
    engine.step(made, x, 1e-3)
    assert engine._kept is not None
    main, wanted = engine._kept.spaces[0].main, codes.dense().numpy()
    found = np.zeros_like(wanted)
    for b, active in enumerate(main.active_B):
        found[b, main.index_BK[b, :active]] = main.value_BK[b, :active]
    assert np.array_equal(found != 0, wanted != 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("guess", [0.0, 0.5, 0.9, 1.2, 50.0])
@pytest.mark.parametrize("rounded", [True, False])
def test_a_guess_of_what_the_chosen_of_a_batch_reach_changes_no_bit(guess: float, rounded: bool) -> None:
    """Guesses as multiples of the true one; one row takes so many of the codes that its room must grow."""
    config, training = BatchTopKConfig(d_sae=90, k=3), TrainingConfig(batch=100)
    x = rows(1, 100, 12)
    x[0, 7] *= 40
    found = []
    for factor in (None, guess):
        made, engine = state(config, 12), CpuEngine(config, training, rounded=rounded)
        engine._kept = engine._room(made, x)
        reach, main = engine._kept.seeds[0].reach, engine._kept.spaces[0].main
        if factor is not None:
            reach.known, reach.value = True, factor * found[0].parameters["threshold"].item()
        engine.step(made, x, 1e-2)
        assert main.active_B[7] > 4 * config.k and main.active_B.sum() == 300
        found.append(made)
    for name, tensor in found[0].parameters.items():
        assert torch.equal(tensor, found[1].parameters[name]), name


def test_large_seeds_take_turns_and_get_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    config, training, made = TopKConfig(d_sae=70, k=4), TrainingConfig(batch=130), {}
    for bound in (0, 2**24):
        monkeypatch.setattr("husai.training.engines.cpu.SIDE_BY_SIDE", bound)
        made[bound] = state(config, 16, (0, 1, 2))
        engine = CpuEngine(config, training, threads=2)
        for step in range(3):
            engine.step(made[bound], rows(3, 130, 16, seed=step), 1e-2)
        assert engine._kept is not None and engine._kept.side_by_side == (2 if bound else 0)
    for name, tensor in made[0].parameters.items():
        assert torch.equal(tensor, made[2**24].parameters[name]), name


def test_a_state_that_comes_back_from_a_copy_goes_on_with_the_same_bits() -> None:
    from husai.training.trainer import copy_state

    config, training = TopKConfig(d_sae=64, k=5), TrainingConfig(batch=100)
    one, engine = state(config, 16), CpuEngine(config, training)
    engine.step(one, rows(1, 100, 16), 1e-2)
    other = copy_state(one)
    engine.step(one, rows(1, 100, 16, seed=1), 1e-2)
    engine.step(other, rows(1, 100, 16, seed=1), 1e-2)
    for name in one.parameters:
        assert torch.equal(one.parameters[name], other.parameters[name])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("kind", [TopKConfig, BatchTopKConfig, MatryoshkaConfig, SwitchConfig, GlobalMaskConfig])
def test_a_bad_number_in_a_row_or_a_weight_shows_in_the_loss(bad: float, rounded: bool, kind: type) -> None:
    config, training = kind(d_sae=64, k=5), TrainingConfig(batch=100)
    x = rows(1, 100, 16)
    x[0, 3, 2] = bad
    (terms,) = CpuEngine(config, training, rounded=rounded).step(state(config, 16), x, 1e-2)
    assert not np.isfinite(float(terms["mse"]))
    made = state(config, 16)
    made.parameters["W_enc"][0, 7, 1] = bad
    (terms,) = CpuEngine(config, training, rounded=rounded).step(made, rows(1, 100, 16), 1e-2)
    assert not np.isfinite(float(terms["mse"]))


def test_the_choice_and_its_reason() -> None:
    topk, relu = TopKConfig(d_sae=64, k=5), ReluL1Config(d_sae=64)
    engine, why = choose(topk, TrainingConfig())
    assert engine.name == "cpu" and why == "sparse codes" and engine.how.startswith("screened in")
    engine, why = choose(relu, TrainingConfig())
    assert engine.name == "reference" and "no fixed number" in why
    assert choose(topk, TrainingConfig(engine="reference"))[1] == "asked for"
    with pytest.raises(UserError, match="engine cpu cannot run this: relu_l1"):
        choose(relu, TrainingConfig(engine="cpu"))
