"""The engine `cuda` against float64 autograd and `reference`: on a GPU where there is one, else in the interpreter."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.config import Freeze, ReluL1Config, TopKConfig
from husai.saes.registry import architecture
from husai.training.config import TrainingConfig
from husai.training.dead import dead_mask
from husai.training.engines.choose import choose, which
from husai.training.engines.engine import numbers
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

pytest.importorskip("triton")
ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
BATCH = 200 if ON_GPU else 17
BARE = TrainingConfig(batch=BATCH, beta1=0.0)  # the first moment after a step is the gradient of that step


def engine(config: TopKConfig, training: TrainingConfig = BARE, **more: Any) -> Any:
    """The engine under test, everything in the type of the state unless said otherwise."""
    from husai.training.engines.cuda import CudaEngine

    return CudaEngine(config, training, device=DEVICE, **{"precision": "full", "path": "sparse", **more})


def rows(seeds: int, d_in: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    x = torch.randn(seeds, BATCH, d_in, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x * torch.linspace(0.3, 2, d_in, dtype=torch.float64) + 0.2).to(dtype)


def state(
    config: TopKConfig, d_in: int, seeds: tuple[int, ...] = (0,), dtype: torch.dtype = torch.float32
) -> TrainState:
    made, generator = start(config, TrainingConfig(), d_in, seeds, root=5), torch.Generator().manual_seed(9)
    for group in (made.parameters, made.m, made.v):
        group.update({name: tensor.to(dtype) for name, tensor in group.items()})
    for name in ("b_enc", "b_dec"):  # away from the zeros where mistakes of sign do not show
        made.parameters[name] += 0.1 * torch.randn(made.parameters[name].shape, generator=generator, dtype=dtype)
    return made


def stepped(config: TopKConfig, made: TrainState, x: torch.Tensor, **more: Any) -> list[dict[str, float]]:
    one = engine(config, **more)
    terms = numbers(one.step(made, x, 1e-3))
    one.sync(made)
    return terms


def autograd(config: TopKConfig, before: TrainState, x_BD: torch.Tensor) -> tuple[dict, dict]:
    """Loss terms and gradients by the readable objective, which shares no code with the kernels."""
    p = {name: t[0].detach().clone().requires_grad_() for name, t in before.parameters.items()}
    dead = dead_mask(before.last_fired_SF[0], before.step * len(x_BD), config.dead_after)
    terms, _ = architecture(config).objective(config, p, Batch.of(x_BD, dead))
    grads = torch.autograd.grad(sum(terms.values()), list(p.values()), materialize_grads=True)
    return {name: float(t.detach()) for name, t in terms.items()}, dict(zip(p, grads, strict=True))


def errors(made: TrainState, gradients: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float((made.m[name][0] - g).abs().max() / g.abs().max()) for name, g in gradients.items()}


@pytest.mark.parametrize("path", ["sparse", "dense"])
@pytest.mark.parametrize(
    ("d_in", "d_sae", "k", "aux_k", "dead"),
    [(12, 33, 3, 0, 9), (5, 41, 1, 4, 9), (17, 20, 5, 30, 9), (12, 30, 3, 3, 30)],
    ids=["AuxK off", "more dead than aux_k", "all dead among aux_k", "all dead"],
)
def test_gradients_equal_float64_autograd(path: str, d_in: int, d_sae: int, k: int, aux_k: int, dead: int) -> None:
    config = TopKConfig(d_sae=d_sae, k=k, aux_k=aux_k, dead_after=100, aux_coefficient=0.3)
    made, x = state(config, d_in, dtype=torch.float64), rows(1, d_in, torch.float64)
    made.last_fired_SF[0, :dead] = -1000
    terms, gradients = autograd(config, made, x[0])
    (found,) = stepped(config, made, x, path=path)
    assert found == pytest.approx(terms, rel=1e-10)
    assert max(errors(made, gradients).values()) < 1e-10


@pytest.mark.parametrize("more", [{"path": "sparse"}, {"path": "dense"}])
def test_float32_gradients_equal_float64_autograd_to_float32(more: dict[str, Any]) -> None:
    config = TopKConfig(d_sae=30, k=3, aux_k=5, dead_after=100, aux_coefficient=0.3)
    made, x = state(config, 12), rows(1, 12)
    exact = state(config, 12, dtype=torch.float64)
    exact.parameters = {name: tensor.double() for name, tensor in made.parameters.items()}
    for each in (made, exact):
        each.last_fired_SF[0, :9] = -1000
    terms, gradients = autograd(config, exact, x[0].double())
    (found,) = stepped(config, made, x, **more)
    assert found == pytest.approx(terms, rel=1e-5)
    assert max(errors(made, gradients).values()) < 1e-5


def test_a_latent_active_in_all_rows_is_summed_by_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    from husai.training.engines.triton_kernels import lists

    monkeypatch.setattr(lists, "LEAST_WINDOW", 4)
    monkeypatch.setattr(lists, "ENTRIES", 2)
    monkeypatch.setattr(lists, "MOST_WINDOWS", BATCH)
    config = TopKConfig(d_sae=20, k=2)
    made, x = state(config, 6, dtype=torch.float64), rows(1, 6, torch.float64)
    made.parameters["b_enc"][0, [3, 11]] += 20.0
    _, gradients = autograd(config, made, x[0])
    stepped(config, made, x)
    assert (gradients["W_enc"].abs().sum(1) > 0).sum() == 2
    assert max(errors(made, gradients).values()) < 1e-10


@pytest.mark.parametrize(
    ("freeze", "norm"), [("none", "free"), ("encoder", "unit"), ("decoder", "unit"), ("soft_decoder", "unit")]
)
def test_a_few_steps_equal_the_reference(freeze: Freeze, norm: str) -> None:
    config = TopKConfig(d_sae=24, k=3, aux_k=4, dead_after=2 * BATCH, freeze=freeze, decoder_norm=norm)  # type: ignore[arg-type]
    training, lr = TrainingConfig(batch=BATCH), 0.1 if freeze == "soft_decoder" else 3e-3
    ours, theirs = state(config, 10), state(config, 10)
    for made in (ours, theirs):
        made.parameters["b_enc"][:, :7] -= 1.5  # hardly ever among the largest, yet often positive
    fast, slow = engine(config, training), ReferenceEngine(config, training)
    for step in range(4):
        x = rows(1, 10, seed=step)
        terms, wanted = fast.step(ours, x, lr), slow.step(theirs, x, lr)
    fast.sync(ours)
    never = ours.last_fired_SF[0] == 0
    assert never.any() and (freeze == "encoder" or ours.m["W_enc"][0, never].any())
    assert "aux" in wanted[0] and numbers(terms)[0] == pytest.approx(numbers(wanted)[0], rel=1e-4)
    for name in ours.parameters:
        torch.testing.assert_close(ours.parameters[name], theirs.parameters[name], rtol=2e-4, atol=2e-5)
    assert torch.equal(ours.last_fired_SF, theirs.last_fired_SF)


def test_a_seed_of_a_stack_equals_that_seed_alone_and_only_seeds_with_dead_latents_have_aux() -> None:
    config, training = TopKConfig(d_sae=24, k=3, aux_k=4, dead_after=300), TrainingConfig(batch=BATCH)
    stack, alone = state(config, 10, (0, 1)), state(config, 10, (0, 1))
    stack.last_fired_SF[1, :5] = -1000
    stack.parameters["b_enc"][1, :5] -= 1.5
    for group in (alone.parameters, alone.m, alone.v):
        group.update({name: tensor[:1].clone() for name, tensor in group.items()})
    alone.last_fired_SF = alone.last_fired_SF[:1].clone()
    together, solo = engine(config, training), engine(config, training)
    for step in range(2):
        x = rows(2, 10, seed=step)
        terms, own = numbers(together.step(stack, x, 1e-2)), numbers(solo.step(alone, x[:1].clone(), 1e-2))
        assert [set(seed) for seed in terms] == [{"mse"}, {"mse", "aux"}] and own[0] == terms[0]
    together.sync(stack), solo.sync(alone)
    for name in stack.parameters:  # so steps that asked for dead latents, of whom there are none, change no bit either
        assert torch.equal(stack.parameters[name][0], alone.parameters[name][0]), name
        assert torch.equal(stack.v[name][0], alone.v[name][0]), name


@pytest.mark.parametrize(("precision", "freeze"), [("rounded", "none"), ("recomputed", "soft_decoder")])
def test_bfloat16_products_and_gathers_are_near_the_float32_ones(precision: str, freeze: Freeze) -> None:
    config = TopKConfig(d_sae=24, k=3, aux_k=4, dead_after=100, freeze=freeze)
    made, x = state(config, 10), rows(1, 10)
    made.last_fired_SF[0, :5] = -1000
    terms, gradients = autograd(config, made, x[0])
    one = engine(config, precision=precision)
    (found,) = numbers(one.step(made, x, 1.0))  # far enough for a decoder row to be held back
    one.sync(made)
    assert found == pytest.approx(terms, rel=0.03)
    for name, gradient in gradients.items():
        assert float((made.m[name][0] - gradient).norm() / gradient.norm()) < 0.05, name
    seed = one._kept.resident.seeds[0]
    W_enc, b_enc, W_dec = (seed.parameters[name].weight for name in ("W_enc", "b_enc", "W_dec"))
    assert torch.equal(seed.copy_enc[:, :10], W_enc.to(torch.bfloat16)) and not seed.copy_enc[:, 13:].any()
    assert torch.equal(seed.copy_dec, W_dec.to(torch.bfloat16))
    high, middle, low = seed.copy_enc[:, 10:13].float().T
    torch.testing.assert_close(high + (middle + low), b_enc, rtol=1e-7, atol=0)
    assert (high != b_enc).any(), "one part is not enough: the test would be empty"


def test_recomputed_codes_are_those_of_the_master_weights() -> None:
    config = TopKConfig(d_sae=24, k=3)
    made, x = state(config, 10), rows(1, 10)
    p = {name: tensor[0].double() for name, tensor in made.parameters.items()}
    pre = (x[0].double() - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]
    for precision, tolerance in (("recomputed", 1e-6), ("rounded", 2e-2)):
        one = engine(config, precision=precision)
        one.step(state(config, 10), x, 1e-3)
        main = one._kept.work.main
        index, value = main.index_BK.cpu().long(), main.value_BK.cpu().double()
        there = index < 24
        error = (value - pre.gather(1, index.clamp(max=23))).abs()[there] / value[there]
        assert error.max() < tolerance
    assert error.max() > 1e-4, "rounded codes are recomputed too: the test would be empty"


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_number_in_a_row_or_a_weight_shows_in_the_loss(bad: float) -> None:
    config, x = TopKConfig(d_sae=24, k=3), rows(1, 10)
    x[0, 3, 2] = bad
    assert not torch.tensor(stepped(config, state(config, 10), x)[0]["mse"]).isfinite()
    made = state(config, 10)
    made.parameters["W_enc"][0, 7, 1] = bad
    assert not torch.tensor(stepped(config, made, rows(1, 10), precision="rounded")[0]["mse"]).isfinite()


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_by_name_is_refused_in_one_line() -> None:
    topk = TopKConfig(d_sae=64, k=5)
    assert choose(topk, TrainingConfig())[0].name == "cpu"
    with pytest.raises(UserError) as caught:
        choose(topk, TrainingConfig(engine="cuda"))
    assert str(caught.value) == (
        "engine cuda cannot run this: torch finds no CUDA device here; leave training.engine at auto"
    )


def test_with_a_gpu_auto_takes_it_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    topk, relu = TopKConfig(d_sae=64, k=5), ReluL1Config(d_sae=64)
    found, why = choose(topk, TrainingConfig())
    assert (found.name, why) == ("cuda", "sparse codes and a CUDA device")
    assert choose(relu, TrainingConfig())[0].name == "reference"
    with pytest.raises(UserError, match=r"^engine cuda cannot run this: relu_l1 has no fixed number"):
        choose(relu, TrainingConfig(engine="cuda"))
    assert which(topk, TrainingConfig(), coupled=True)[0] == "cpu"
    with pytest.raises(UserError, match=r"^engine cuda cannot run this: this engine computes no coupling"):
        which(topk, TrainingConfig(engine="cuda"), coupled=True)
    monkeypatch.setitem(__import__("sys").modules, "husai.training.engines.cuda", None)
    assert choose(topk, TrainingConfig())[0].name == "cpu"
    with pytest.raises(UserError, match=r"^engine cuda cannot run this: triton cannot be imported"):
        choose(topk, TrainingConfig(engine="cuda"))
