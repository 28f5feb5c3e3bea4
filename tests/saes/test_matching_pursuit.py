"""Matching pursuit: against one written out row by row, with latents that are chosen twice; a tied dictionary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.saes.codes import SparseCodes
from husai.saes.config import MatchingPursuitConfig
from husai.saes.controls import permuted_decoder
from husai.saes.matching_pursuit import by_products, step_by_step
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.stack import SAEStack
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

D, F = 6, 15


def pursued(x: np.ndarray, W: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Codes, what is left, and how many latents were chosen more than once: NumPy, float64, one row at a time."""
    codes, left, twice = np.zeros((len(x), len(W))), x.copy(), 0
    for b in range(len(x)):
        chosen = []
        for _ in range(k):
            products = W @ left[b]
            j = int(np.argmax(products))
            c = max(products[j], 0.0)
            codes[b, j] += c
            left[b] -= c * W[j]
            chosen += [j] if c > 0 else []
        twice += len(chosen) - len(set(chosen))
    return codes, left, twice


def encoded(x: np.ndarray, W: np.ndarray, k: int) -> SparseCodes:
    config = MatchingPursuitConfig(d_sae=len(W), k=k)
    tied = torch.from_numpy(W)
    zero = torch.zeros(len(W), dtype=torch.float64)
    p = {"W_enc": tied, "b_enc": zero, "W_dec": tied, "b_dec": torch.full((x.shape[1],), 0.25, dtype=torch.float64)}
    codes = architecture(config).encode(config, p, torch.from_numpy(x + 0.25))
    assert isinstance(codes, SparseCodes)
    return codes


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), latents=st.integers(7, 15), k=st.integers(1, 7))
def test_equals_a_pursuit_written_out(seed: int, latents: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(latents, D))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    x = rng.normal(size=(8, D))
    expected, left, _ = pursued(x, W, k)
    codes = encoded(x, W, k)
    assert np.allclose(codes.dense().numpy(), expected, atol=1e-10)
    assert np.allclose(x - codes.dense().numpy() @ W, left, atol=1e-10)


def test_a_latent_that_is_chosen_twice_gets_the_sum_and_counts_once() -> None:
    """Two rows at an angle of 41 degrees: the pursuit goes back and forth between them."""
    W = np.array([[1.0, 0.0], [0.75, np.sqrt(1 - 0.75**2)], [-1.0, 0.0]])
    x = np.array([[1.0, 0.9]])
    expected, _, twice = pursued(x, W, 2 + 1)
    assert twice, "no latent was chosen twice: the test would be empty"
    codes = encoded(x, W, 3)
    assert np.allclose(codes.dense().numpy(), expected)
    assert all(len(set(row)) == 3 for row in codes.indices_BK.tolist()), "no index may be there twice"
    assert int((codes.values_BK != 0).sum()) == int((expected != 0).sum()) < 3


def test_ties_go_to_the_lowest_index_and_a_row_that_nothing_points_along_stays() -> None:
    W = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert encoded(np.array([[2.0, 0.0]]), W, 1).dense().tolist() == [[2.0, 0.0, 0.0]]
    assert not encoded(np.array([[-1.0, -2.0]]), np.eye(2), 2).dense().any(), "codes are never negative"


CASES = [(60, 8, 20, 3), (60, 12, 20, 12), (200, 16, 16, 30), (90, 2, 3, 6)]


@pytest.mark.parametrize(("B", "d_in", "latents", "k"), CASES)
def test_products_of_latents_give_the_values_and_slopes_of_the_steps(B: int, d_in: int, latents: int, k: int) -> None:
    """In float64, with rows of any norm; latents are chosen again, and in the last two cases steps give nothing."""
    generator = torch.Generator().manual_seed(k)
    shapes = (B, d_in), (latents, d_in), (latents, d_in)
    x, look, noise = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    look = look / look.norm(dim=1, keepdim=True)
    inputs = [t.requires_grad_() for t in (x, look, look + 0.05 * noise)]
    weight_BK = torch.randn(B, k, dtype=torch.float64, generator=generator)
    found = []
    for way in (step_by_step, by_products):
        values, indices = way(*inputs, k)
        found.append((values.detach(), *torch.autograd.grad((values * weight_BK).sum(), inputs)))
        gave = values.detach() > 1e-12  # a step that gives nothing may give what rounding leaves
        found[-1] += (torch.where(gave, indices, -1),)
    for wanted, got in zip(*found, strict=True):
        assert float((wanted - got).abs().max()) <= 1e-10 * float(wanted.abs().max())
    assert gave.all() == (latents == 20), "no step that gives nothing: half of the test would be empty"
    assert any(len(set(row)) < k for row in indices.tolist()) or k == 3


def stepped(config: MatchingPursuitConfig, steps: int = 5) -> tuple[TrainState, TrainState]:
    """Before and after."""
    training = TrainingConfig(batch=32)
    began = start(config, training, D, (0, 1), root=0)
    state, engine = start(config, training, D, (0, 1), root=0), ReferenceEngine(config, training)
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        engine.step(state, torch.randn(2, 32, D, generator=generator), 1e-2)
    return began, state


@pytest.mark.parametrize("decoder_norm", ["unit", "projected"])
def test_encoder_and_decoder_stay_one_after_every_step(decoder_norm: str) -> None:
    for steps in (1, 5):
        config = MatchingPursuitConfig.parse({"d_sae": F, "k": 3, "decoder_norm": decoder_norm})
        began, state = stepped(config, steps)
        p = state.parameters
        assert torch.equal(p["W_enc"], p["W_dec"]) and not p["b_enc"].any()
        assert not torch.equal(p["W_dec"], began.parameters["W_dec"])
        assert torch.allclose(p["W_dec"].norm(dim=-1), torch.ones(2, F))
        assert not state.m["W_enc"].any() and not state.v["b_enc"].any(), "no gradient moves a buffer"


def test_a_frozen_dictionary_keeps_every_bit_in_both() -> None:
    began, state = stepped(MatchingPursuitConfig(d_sae=F, k=3, freeze="decoder"))
    for name in ("W_enc", "W_dec"):
        assert torch.equal(state.parameters[name], began.parameters[name])
    assert not torch.equal(state.parameters["b_dec"], began.parameters["b_dec"])


def test_codes_of_training_are_those_of_use() -> None:
    config = MatchingPursuitConfig(d_sae=F, k=4)
    p: Parameters = {name: t[0] for name, t in stepped(config)[1].parameters.items()}
    x = torch.randn(64, D, generator=torch.Generator().manual_seed(7))
    left = x - p["b_dec"] - architecture(config).encode(config, p, x).dense() @ p["W_dec"]
    _, expected, _ = pursued((x - p["b_dec"]).double().numpy(), p["W_dec"].double().numpy(), 4)
    assert np.allclose(left.numpy(), expected, atol=1e-5)


def test_a_control_that_replaces_the_decoder_keeps_the_codes() -> None:
    config = MatchingPursuitConfig(d_sae=F, k=3)
    stack = SAEStack(config, (0, 1), stepped(config)[1].parameters, torch.zeros(D), 1.0)
    x = torch.randn(20, D, generator=torch.Generator().manual_seed(8))
    control = permuted_decoder(stack, root=1)
    assert torch.equal(control[0].encode(x), stack[0].encode(x))
    assert not torch.allclose(control[0](x), stack[0](x))
