"""Transcoders: two hooks in a row, what is read and what is reconstructed, the skip path, scales of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.config import AnySAEConfig, SkipTranscoderConfig, TranscoderConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.saes.stack import SAEStack, load_stack

D, F, K, N = 6, 20, 3, 40
CONFIGS: list[AnySAEConfig] = [TranscoderConfig(d_sae=F, k=K, d_out=4), SkipTranscoderConfig(d_sae=F, k=K, d_out=4)]


def ready(config: AnySAEConfig, dtype: torch.dtype = torch.float64) -> tuple[Parameters, Tensor]:
    generator = torch.Generator().manual_seed(2)
    p = architecture(config).init(config, D + 4, generator, None)
    p = {name: (t + 0.1 * torch.randn(t.shape, generator=generator)).to(dtype) for name, t in p.items()}
    rows = torch.randn(N, D + 4, generator=generator).to(dtype) * torch.tensor([1.0] * D + [30.0] * 4).to(dtype) + 2
    return p, rows


def by_hand(p: Parameters, x: Tensor) -> Tensor:
    pre = (x @ p["W_enc"].T + p["b_enc"]).clamp(min=0)
    values, indices = pre.topk(K, dim=1)
    y = torch.zeros_like(pre).scatter(1, indices, values) @ p["W_dec"] + p["b_dec"]
    return y + x @ p["W_skip"].T if "W_skip" in p else y


@pytest.mark.parametrize("config", CONFIGS)
def test_the_first_columns_are_read_and_the_last_reconstructed(config: AnySAEConfig) -> None:
    p, rows = ready(config)
    arch = architecture(config)
    x, y = arch.split(config, rows)
    assert (x.shape, y.shape) == ((N, D), (N, 4))
    terms, _ = arch.objective(config, p, Batch(x, y, torch.zeros(F, dtype=torch.bool)))
    expected = ((by_hand(p, rows[:, :D]) - rows[:, D:]) ** 2).sum(1).mean()
    assert set(terms) == {"mse"} and float(terms["mse"]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_reconstruction_moves_every_parameter(config: AnySAEConfig) -> None:
    p, rows = ready(config)
    p = {name: t.requires_grad_() for name, t in p.items()}
    arch = architecture(config)
    terms, _ = arch.objective(config, p, Batch(*arch.split(config, rows), torch.zeros(F, dtype=torch.bool)))
    for name, gradient in zip(p, torch.autograd.grad(terms["mse"], list(p.values())), strict=True):
        assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize("config", CONFIGS)
def test_saved_loaded_and_folded_it_is_the_same_function(config: AnySAEConfig, tmp_path: Path) -> None:
    p, rows = ready(config, torch.float32)
    mean, factor = rows.mean(0), torch.tensor([0.7] * D + [0.03] * 4)
    stack = SAEStack(config, (3,), {name: t[None] for name, t in p.items()}, mean, factor, "blocks.0.hook_resid_mid")
    sae = load_stack(stack.save(tmp_path / "stack.safetensors"))[0]
    x = rows[:, :D]
    expected = by_hand(p, (x - mean[:D]) * 0.7) / 0.03 + mean[D:]
    assert torch.allclose(sae(x), expected, atol=1e-3)
    assert torch.allclose(sae.folded()(x), expected, atol=1e-3)
    assert torch.allclose(sae.folded().encode(x), sae.encode(x), atol=1e-4)


def test_a_scale_of_its_own_for_each_hook_is_needed() -> None:
    p, rows = ready(CONFIGS[0], torch.float32)
    right = SAE(CONFIGS[0], p, rows.mean(0), torch.tensor([0.7] * D + [0.03] * 4))
    wrong = SAE(CONFIGS[0], p, rows.mean(0), torch.tensor([0.03] * D + [0.7] * 4))
    assert (right(rows[:, :D]) - wrong(rows[:, :D])).abs().max() > 1


def test_pairs_that_cannot_work() -> None:
    with pytest.raises(UserError, match="d_out = 10 leaves 0 columns"):
        check_sizes(TranscoderConfig(d_sae=20, k=3, d_out=10), 10)
    with pytest.raises(UserError, match="k = 3 is not sparse for d_in = 3"):
        check_sizes(TranscoderConfig(d_sae=20, k=3, d_out=7), 10)
    tied = TranscoderConfig(d_sae=20, k=3, d_out=4, tied_init=True)
    with pytest.raises(UserError, match="hooks of one width"):
        architecture(tied).init(tied, 10, torch.Generator(), None)
    with pytest.raises(UserError, match="subtract_b_dec must be false"):
        TranscoderConfig.parse({"subtract_b_dec": True})
