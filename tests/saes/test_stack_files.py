"""Stacks on disk: saved, loaded, the same outputs; anything changed is one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from husai.errors import Refused, UserError
from husai.saes.config import (
    AnySAEConfig,
    ArchetypalConfig,
    ExpertTopKConfig,
    GlobalMaskConfig,
    HierarchicalTopKConfig,
    MatryoshkaConfig,
    ReluL1Config,
    TopKConfig,
)
from husai.saes.config.sizes import check_sizes
from husai.saes.controls import permuted_decoder, random_decoder, untrained
from husai.saes.pca import pca_directions
from husai.saes.stack import SAEStack, load_stack
from husai.seeds import Role
from husai.store.tensors import load_arrays, read_metadata, save_arrays
from husai.training.config import TrainingConfig
from husai.training.state import start
from our_saes import HOOKED, of_every_kind

CONFIGS: list[AnySAEConfig] = [
    *of_every_kind(20, 3, *HOOKED),
    ReluL1Config(d_sae=20, l1=0.2, decoder_norm="free"),
    ExpertTopKConfig(d_sae=20, k=3, experts=5, active_experts=2, aux_k=4, entropy=-0.1),
    GlobalMaskConfig(d_sae=20, k=7, active_experts=2, subtract_b_dec=False),
    MatryoshkaConfig(d_sae=20, k=3, prefixes=(4, 20)),
    HierarchicalTopKConfig(d_sae=20, k=3, levels=(1,)),
]


def rows_of(seed: int) -> torch.Tensor:
    return torch.randn(60, 8, generator=torch.Generator().manual_seed(100 + seed))


def made(config: AnySAEConfig) -> SAEStack:
    state = start(config, TrainingConfig(), 8, (0, 4), root=1, rows_of=rows_of)
    generator = torch.Generator().manual_seed(0)
    for tensor in state.parameters.values():
        tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
    return SAEStack(config, (0, 4), state.parameters, torch.randn(8, generator=generator), 1.7, "blocks.0.hook_x")


@pytest.mark.parametrize("config", CONFIGS)
def test_a_loaded_stack_gives_the_same_outputs(config: AnySAEConfig, tmp_path: Path) -> None:
    stack, x = made(config), torch.randn(50, 8)
    again = load_stack(stack.save(tmp_path / "stack.safetensors"))
    assert (again.seeds, again.hook_name, again.config, again.factor) == (stack.seeds, stack.hook_name, config, 1.7)
    for i in range(2):
        assert torch.equal(again[i].encode(x), stack[i].encode(x))
        assert torch.equal(again[i](x), stack[i](x))


def test_views_are_those_of_the_field() -> None:
    sae = made(CONFIGS[0])[0]
    x = torch.randn(5, 8)
    scaled = (x - sae.mean_D) * sae.factor
    assert sae.W_enc.shape == (8, 20) and sae.W_dec.shape == (20, 8)
    pre = (scaled - sae.b_dec) @ sae.W_enc + sae.b_enc
    assert torch.allclose(sae.encode(x).max(1).values, pre.max(1).values, atol=1e-5)


def changed(path: Path, **arrays: np.ndarray | None) -> Path:
    held, meta = load_arrays(path), read_metadata(path)
    for name, array in arrays.items():
        key = name.replace("__", ".")
        held.pop(key) if array is None else held.update({key: array})
    return save_arrays(path.with_name("changed.safetensors"), held, meta)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"W_dec": None}, "W_dec is missing"),
        ({"gate": np.zeros((2, 20), np.float32)}, "gate does not belong to topk"),
        ({"scaling__mean": None}, "scaling is missing"),
        ({"W_enc": np.zeros((2, 8, 20), np.float32)}, "W_enc has shape"),
        ({"b_enc": np.full((2, 20), np.nan, np.float32)}, "b_enc holds NaN"),
    ],
)
def test_a_changed_stack_is_refused(arrays: dict[str, np.ndarray | None], says: str, tmp_path: Path) -> None:
    path = made(CONFIGS[0]).save(tmp_path / "stack.safetensors")
    with pytest.raises(UserError, match=says):
        load_stack(changed(path, **arrays))


def test_a_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = made(CONFIGS[0]).save(tmp_path / "stack.safetensors")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_stack(path)
    save_arrays(path, {"a": np.zeros(3)})
    with pytest.raises(UserError, match="not a husai stack"):
        load_stack(path)


@pytest.mark.parametrize("seeds", ["", "x", "{}", "[]", "3", '["a", 4]', "[true, 4]", "[0, 4.0]", "[" * 100_000])
def test_seeds_that_are_not_readable_are_refused(seeds: str, tmp_path: Path) -> None:
    path = made(CONFIGS[0]).save(tmp_path / "stack.safetensors")
    save_arrays(path, load_arrays(path), read_metadata(path) | {"seeds": seeds})
    with pytest.raises(UserError, match="the seeds in its metadata are not readable"):
        load_stack(path)


@pytest.mark.parametrize("name", ["scaling__mean", "scaling__factor"])
@pytest.mark.parametrize("wrong", [np.ones((8, 1)), np.full(8, np.nan), np.ones(8, np.int64)])
def test_a_scaling_that_does_not_fit_is_refused(name: str, wrong: np.ndarray, tmp_path: Path) -> None:
    path = made(CONFIGS[0]).save(tmp_path / "stack.safetensors")
    floats = wrong.astype(np.float32) if name == "scaling__mean" and wrong.dtype.kind == "f" else wrong
    with pytest.raises(UserError, match=r"scaling\.mean and scaling\.factor are not finite numbers for each column"):
        load_stack(changed(path, **{name: floats}))


def test_a_stack_holds_single_precision(tmp_path: Path) -> None:
    path = made(CONFIGS[0]).save(tmp_path / "stack.safetensors")
    with pytest.raises(UserError, match="W_dec holds float16, not float32"):
        load_stack(changed(path, W_dec=load_arrays(path)["W_dec"].astype(np.float16)))


def test_k_must_be_sparse() -> None:
    for config in (c for c in CONFIGS if "k" in type(c).model_fields and "experts" not in type(c).model_fields):
        with pytest.raises(UserError, match="k = 8 is not sparse for d_in = 8"):
            check_sizes(config.model_copy(update={"k": 8}), 8)
    assert "half of min" in check_sizes(TopKConfig(d_sae=20, k=4), 8)[0]
    assert check_sizes(TopKConfig(d_sae=20, k=3), 8) == []
    with pytest.raises(UserError, match="aux_k"):
        check_sizes(TopKConfig(d_sae=20, k=3, aux_k=21), 8)


def test_controls_are_what_they_say() -> None:
    stack = made(CONFIGS[0])
    fresh = untrained(stack, root=1, vary=TrainingConfig().vary)
    assert torch.equal(fresh.parameters["W_dec"], start(CONFIGS[0], TrainingConfig(), 8, (0, 4), 1).parameters["W_dec"])
    random = random_decoder(stack, root=1)
    assert torch.equal(random.parameters["W_enc"], stack.parameters["W_enc"])
    assert torch.allclose(random.parameters["W_dec"].norm(dim=-1), torch.ones(2, 20))
    assert not torch.equal(random.parameters["W_dec"], fresh.parameters["W_dec"]), "controls have their own stream"
    permuted = permuted_decoder(stack, root=1).parameters["W_dec"][0]
    assert sorted(map(tuple, permuted.tolist())) == sorted(map(tuple, stack.parameters["W_dec"][0].tolist()))
    assert not torch.equal(permuted, stack.parameters["W_dec"][0])


@pytest.mark.parametrize("vary", [(Role.BATCH_ORDER,), (Role.SAE_INIT,), (Role.SAE_INIT, Role.BATCH_ORDER)])
def test_an_untrained_control_needs_initialisations_that_vary(vary: tuple[Role, ...]) -> None:
    """With one initialisation for all seeds the control would be 1 by construction, and nothing could beat it."""
    training = TrainingConfig(vary=vary)
    began = start(CONFIGS[0], training, 8, (0, 4), root=1).parameters["W_dec"]
    stack = made(CONFIGS[0])
    if Role.SAE_INIT in vary:
        assert torch.equal(untrained(stack, 1, training.vary).parameters["W_dec"], began)
        return
    assert torch.equal(began[0], began[1])
    with pytest.raises(Refused, match=r"untrained control does not apply.*vary sae_init"):
        untrained(stack, 1, training.vary)


def test_controls_decode_with_the_decoder_that_they_say() -> None:
    """Where W_dec is made of other parameters, it is still W_dec that everything after training reads."""
    stack, x = made(ArchetypalConfig(d_sae=20, k=3, n_centroids=12)), torch.randn(5, 8)
    assert stack.config.kind == "archetypal"
    permuted = permuted_decoder(stack, root=1)[0]
    z = (x - permuted.mean_D) * permuted.factor
    codes = (z - permuted.b_dec) @ permuted.W_enc + permuted.b_enc
    kept = codes.relu().topk(3, dim=1)
    dense = torch.zeros_like(codes).scatter(1, kept.indices, kept.values)
    expected = (dense @ permuted.W_dec + permuted.b_dec) / permuted.factor + permuted.mean_D
    assert torch.allclose(permuted(x), expected, atol=1e-5)
    assert not torch.allclose(permuted(x), stack[0](x), atol=1e-2)


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.kind in ("gated", "gba", "aligned", "linear")])
def test_untrained_is_the_state_at_step_0_buffers_included(config: AnySAEConfig) -> None:
    fresh = untrained(made(config), root=1, vary=TrainingConfig().vary).parameters
    began = start(config, TrainingConfig(), 8, (0, 4), 1).parameters
    assert fresh.keys() == began.keys()
    assert all(torch.equal(fresh[name], began[name]) for name in began)


@pytest.mark.parametrize(
    ("kind", "says"), [("archetypal", "starts from rows"), ("pca", "never trained"), ("random", "never trained")]
)
def test_an_untrained_control_needs_a_training(kind: str, says: str) -> None:
    stack = made(next(c for c in CONFIGS if c.kind == kind))
    with pytest.raises(Refused, match=says):
        untrained(stack, 1, TrainingConfig().vary)


def test_pca_directions_against_the_covariance() -> None:
    x = np.random.default_rng(0).normal(size=(300, 6)) * [5, 3, 2, 1, 1, 1]
    found = pca_directions(x, 2)
    _, vectors = np.linalg.eigh(np.cov(x.T))
    assert np.allclose(np.abs(np.sum(found * vectors[:, [-1, -2]].T, axis=1)), 1)
    assert np.allclose(found @ found.T, np.eye(2), atol=1e-12)
