"""The transformer against a plain NumPy one, its causality, and its short way to one answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.errors import UserError
from husai.models.config import TransformerConfig
from husai.models.hooks import capture
from husai.models.random_model import random_model
from husai.models.transformer import Transformer

architectures = st.builds(
    TransformerConfig,
    n_layers=st.integers(1, 3),
    d_model=st.sampled_from([4, 8, 12]),
    n_heads=st.sampled_from([1, 2, 4]),
    d_mlp=st.integers(1, 16),
    activation=st.sampled_from(["relu", "gelu"]),
    layer_norm=st.booleans(),
    d_vocab=st.just(7),
    n_ctx=st.just(5),
    d_vocab_out=st.integers(1, 9),
)


def tokens(rows=3, width=5, seed=0):
    return torch.tensor(np.random.default_rng(seed).integers(0, 7, (rows, width)))


def normalise(x, config):
    if not config.layer_norm:
        return x
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def activate(x, config):
    if config.activation == "relu":
        return np.maximum(x, 0)
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def plain_attention(x, w, config):
    """One row [T, D], head by head and query by query."""
    out = np.zeros_like(x)
    for h in range(config.n_heads):
        part = slice(h * config.d_head, (h + 1) * config.d_head)
        q, k, v = (x @ w[name][:, part] for name in ("attn.W_Q", "attn.W_K", "attn.W_V"))
        for t in range(len(x)):
            score = k[: t + 1] @ q[t] / math.sqrt(config.d_head)
            pattern = np.exp(score - score.max())
            out[t] += (pattern / pattern.sum()) @ v[: t + 1] @ w["attn.W_O"][part]
    return out


def plain_forward(model, row):
    """Logits [T, V] of one row in float64, written from the definition."""
    config = model.config
    weights = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    x = weights["W_E"][row] + weights["W_pos"][: len(row)]
    for layer in range(config.n_layers):
        start = f"blocks.{layer}."
        w = {name.removeprefix(start): p for name, p in weights.items() if name.startswith(start)}
        x = x + plain_attention(normalise(x, config), w, config)
        hidden = activate(normalise(x, config) @ w["mlp.W_in"] + w["mlp.b_in"], config)
        x = x + hidden @ w["mlp.W_out"] + w["mlp.b_out"]
    return normalise(x, config) @ weights["W_U"]


def shaken(config, seed=0):
    """A model whose biases are not zero either."""
    model = config.build(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".b_" in name:
                p.normal_(generator=torch.Generator().manual_seed(5))
    return model


@settings(max_examples=30, deadline=None)
@given(architectures, st.integers(1, 5))
def test_forward_agrees_with_a_plain_implementation(config, width):
    model, tokens_BT = shaken(config), tokens(width=width)
    with torch.no_grad():
        logits_BTV = model(tokens_BT).numpy()
    for row, logits_TV in zip(tokens_BT.numpy(), logits_BTV, strict=True):
        np.testing.assert_allclose(logits_TV, plain_forward(model, row), rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(architectures, st.integers(0, 4))
def test_answer_equals_forward_at_that_position(config, position):
    model, tokens_BT = shaken(config), tokens()
    with torch.no_grad():
        torch.testing.assert_close(
            model.answer(tokens_BT, position), model(tokens_BT)[:, position], rtol=1e-4, atol=1e-5
        )


def test_answer_and_forward_give_equal_gradients():
    config = TransformerConfig(n_layers=2, d_model=8, n_heads=2, d_mlp=8, d_vocab=7, n_ctx=5, d_vocab_out=7)
    grads = []
    for read in (lambda m, t: m.answer(t, 2), lambda m, t: m(t)[:, 2]):
        model = shaken(config)
        read(model, tokens()).logsumexp(-1).sum().backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*grads)


@settings(max_examples=20, deadline=None)
@given(architectures, st.integers(0, 3), st.integers(0, 6))
def test_later_tokens_never_change_earlier_logits(config, position, token):
    model, tokens_BT = shaken(config), tokens()
    changed_BT = tokens_BT.clone()
    changed_BT[:, position + 1 :] = token
    with torch.no_grad():
        before, after = model(tokens_BT), model(changed_BT)
    assert torch.equal(before[:, : position + 1], after[:, : position + 1])


def test_earlier_tokens_do_change_later_logits():
    config = TransformerConfig(d_model=8, n_heads=2, d_mlp=8, d_vocab=7, n_ctx=5, d_vocab_out=7)
    model, tokens_BT = config.build(0), tokens()
    changed_BT = tokens_BT.clone()
    changed_BT[:, 0] = (changed_BT[:, 0] + 1) % 7
    with torch.no_grad():
        assert (model(tokens_BT) - model(changed_BT))[:, -1].abs().max() > 1e-3


def test_attention_patterns_are_causal_distributions():
    model = TransformerConfig(d_model=8, n_heads=2, d_mlp=8, d_vocab=7, n_ctx=5, d_vocab_out=7).build(0)
    with torch.no_grad(), capture(model, ["blocks.0.attn.hook_pattern"]) as found:
        model(tokens())
    pattern_BHQT = found["blocks.0.attn.hook_pattern"]
    assert pattern_BHQT.shape == (3, 2, 5, 5)
    torch.testing.assert_close(pattern_BHQT.sum(-1), torch.ones(3, 2, 5))
    assert (pattern_BHQT.triu(1) == 0).all()


def test_initial_scales():
    config = TransformerConfig(d_vocab=500, n_ctx=3, d_vocab_out=500)
    p = dict(config.build(0).named_parameters())
    for name, std in (("W_E", 128**-0.5), ("blocks.0.mlp.W_in", 128**-0.5), ("blocks.0.mlp.W_out", 512**-0.5)):
        assert p[name].std().item() == pytest.approx(std, rel=0.03)
    assert p["blocks.0.mlp.b_in"].abs().max() == 0


def same(one: Transformer, two: Transformer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_weights_are_a_function_of_the_seed_alone():
    config = TransformerConfig(d_vocab=7, n_ctx=3, d_vocab_out=7)
    one = config.build(4)
    torch.manual_seed(123)
    assert same(one, config.build(4))
    assert not same(one, config.build(5))


def test_random_models_are_all_different():
    config = TransformerConfig(d_vocab=7, n_ctx=3, d_vocab_out=7)
    models = [random_model(config, 4, i) for i in range(5)] + [random_model(config, 5, 0), config.build(4)]
    norms = {m.W_E[0, 0].item() for m in models}
    assert len(norms) == 7
    assert same(models[2], random_model(config, 4, 2))


@pytest.mark.parametrize("position", [-1, 5])
def test_a_position_that_does_not_exist_is_refused(position):
    model = TransformerConfig(d_model=8, n_heads=2, d_mlp=8, d_vocab=7, n_ctx=5, d_vocab_out=7).build(0)
    with pytest.raises(UserError, match=f"position {position} does not exist: there are 5"):
        model.answer(tokens(), position)


def test_too_long_an_input_is_refused():
    model = TransformerConfig(d_model=8, n_heads=2, d_mlp=8, d_vocab=7, n_ctx=5, d_vocab_out=7).build(0)
    with pytest.raises(UserError, match="has 5 positions"):
        model(tokens(width=6))


def test_answer_is_refused_while_a_hook_is_in_use():
    model = TransformerConfig(d_model=8, n_heads=2, d_mlp=8, d_vocab=7, n_ctx=5, d_vocab_out=7).build(0)
    with capture(model, ["hook_embed"]), pytest.raises(UserError, match="use that while they are in use"):
        model.answer(tokens(), 2)
    model.answer(tokens(), 2)
