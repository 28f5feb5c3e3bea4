"""T51. Claimed: features "redistribute" at one layer. True: one SAE ran over layers whose norms differ, and the largest
layer owned the loss. husai scales each hook by its own statistics, and stores and folds that scale with the SAE."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from husai.activations.capture import capture
from husai.activations.scaling import Scaling
from husai.models.config import TransformerConfig
from husai.saes.config import ReluL1Config
from husai.saes.parameters import initial
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.saes.stack import SAEStack, load_stack
from husai.tasks.modular import ModularConfig

HOOKS = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


@pytest.fixture
def layers(tmp_path):
    """Two layers of one model, the second with norms about twenty times as large."""
    task = ModularConfig(p=23).build()
    model = TransformerConfig(n_layers=2, d_model=16, n_heads=2, d_mlp=32).fitted(task).build(seed=0)
    with torch.no_grad():
        model.blocks[1].mlp.W_out *= 40  # type: ignore[union-attr]
    return [capture(model, task, hook, tmp_path / hook) for hook in HOOKS]


def share_of_loss(rows: list[np.ndarray]) -> float:
    """Share of the second layer in the squared error of the mean predictor."""
    energy = [((x - x.mean(0)) ** 2).sum(1).mean() for x in rows]
    return energy[1] / sum(energy)


def test_with_one_scale_the_large_layer_owns_the_loss_and_with_its_own_it_does_not(layers):
    raw = [cache.to_array() for cache in layers]
    assert share_of_loss(raw) > 0.9
    common = Scaling.fit(np.concatenate(raw))
    assert share_of_loss([common.apply(x) for x in raw]) > 0.9
    own = [Scaling.of(cache).apply(x) for cache, x in zip(layers, raw, strict=True)]
    assert share_of_loss(own) == pytest.approx(0.5, abs=1e-3)
    for y in own:
        assert (y.astype(float) ** 2).sum(1).mean() == pytest.approx(16, rel=1e-4)


def test_the_scale_names_its_hook_and_travels_with_the_sae(layers, tmp_path):
    scalings = [Scaling.of(cache) for cache in layers]
    assert [s.hook_name for s in scalings] == list(HOOKS)
    assert scalings[0].factor > 5 * scalings[1].factor
    p = {name: t[None] for name, t in initial(16, 8, True, torch.Generator().manual_seed(0)).items()}
    for scaling in scalings:
        mean = torch.from_numpy(scaling.mean_D)
        stack = SAEStack(ReluL1Config(d_sae=8), (0,), p, mean, scaling.factor, scaling.hook_name)
        again = load_stack(stack.save(tmp_path / "stack.safetensors"))
        assert again.factor == scaling.factor and torch.equal(again.mean_D, mean)
        assert again[0].hook_name == scaling.hook_name


def test_a_folded_sae_reads_raw_rows_of_its_own_hook(layers):
    config = ReluL1Config(d_sae=8)
    p = initial(16, 8, False, torch.Generator().manual_seed(0))
    x = torch.from_numpy(layers[1].to_array())

    def of(cache) -> SAE:
        scaling = Scaling.of(cache)
        return SAE(config, p, torch.from_numpy(scaling.mean_D), scaling.factor)

    right, wrong = (of(cache) for cache in (layers[1], layers[0]))
    expected = architecture(config).encode(config, p, torch.from_numpy(Scaling.of(layers[1]).apply(x.numpy())))
    assert torch.allclose(right.folded().encode(x), expected.dense(), atol=1e-4)
    assert (wrong.folded().encode(x) - expected.dense()).abs().max() > 1
