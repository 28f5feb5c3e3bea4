"""RouteSAE: which layer is read, that the router learns, and what is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from husai.errors import Refused, UserError
from husai.evals.fidelity import fidelity
from husai.saes.architecture import Batch
from husai.saes.config import RouteConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.stack import SAEStack, load_stack

L, D, F, K, N = 3, 6, 20, 3, 60
CONFIG = RouteConfig(d_sae=F, k=K, layers=L)
ARCH = architecture(CONFIG)
NOBODY = torch.zeros(F, dtype=torch.bool)


def ready(dtype: torch.dtype = torch.float64) -> tuple[Parameters, Tensor]:
    generator = torch.Generator().manual_seed(4)
    p = ARCH.init(CONFIG, L * D, generator, None)
    p = {name: (t + 0.3 * torch.randn(t.shape, generator=generator)).to(dtype) for name, t in p.items()}
    return p, torch.randn(N, L * D, generator=generator).to(dtype)


def routed(p: Parameters, x: Tensor) -> Tensor:
    layers = x.reshape(len(x), L, D)
    chance = torch.softmax(layers.sum(1) @ p["W_router"].T, dim=1)
    return torch.stack([chance[i].max() * layers[i, int(chance[i].argmax())] for i in range(len(x))])


def test_the_loss_is_the_error_relative_to_what_was_routed() -> None:
    p, x = ready()
    terms, codes = ARCH.objective(CONFIG, p, Batch.of(x, NOBODY))
    r = routed(p, x)
    pre = ((r - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0)
    values, indices = pre.topk(K, dim=1)
    dense = torch.zeros_like(pre).scatter(1, indices, values)
    r_hat = dense @ p["W_dec"] + p["b_dec"]
    variance = ((r - r.mean(0)) ** 2).sum(1).mean()
    expected = variance * ((r - r_hat) ** 2).sum(1).mean() / (r**2).sum(1).mean()
    assert torch.allclose(codes.dense(), dense)
    assert set(terms) == {"mse"} and float(terms["mse"]) == pytest.approx(float(expected), rel=1e-12)


def test_the_reconstruction_moves_the_router_and_everything_else() -> None:
    p, x = ready()
    p = {name: t.requires_grad_() for name, t in p.items()}
    terms, _ = ARCH.objective(CONFIG, p, Batch.of(x, NOBODY))
    for name, gradient in zip(p, torch.autograd.grad(terms["mse"], list(p.values())), strict=True):
        assert gradient.abs().sum() > 0, name


def test_the_router_cannot_lower_the_error_by_shrinking_what_it_routes() -> None:
    """Equal layers, a router without an opinion: r is the layer over their number, and the share lost is the same."""
    p, x = ready()
    p |= {"b_dec": torch.zeros(D).double(), "b_enc": torch.zeros(F).double()}
    shares = []
    for layers in (2, 3, 8):
        same, config = x[:, :D].repeat(1, layers), RouteConfig(d_sae=F, k=K, layers=layers)
        shrunk = p | {"W_router": torch.zeros(layers, D).double()}
        terms, _ = ARCH.objective(config, shrunk, Batch.of(same, NOBODY))
        r = same[:, :D] / layers
        shares.append(float(terms["mse"]) / float(((r - r.mean(0)) ** 2).sum(1).mean()))
    assert shares == pytest.approx([shares[0]] * 3, rel=1e-9)


def test_what_is_evaluated_is_what_was_trained(tmp_path: Path) -> None:
    p, x = ready(torch.float32)
    mean, factor = x.mean(0), torch.repeat_interleave(torch.tensor([0.5, 2.0, 1.0]), D)
    raw = x / factor + mean
    stack = SAEStack(CONFIG, (0,), {name: t[None] for name, t in p.items()}, mean, factor)
    sae = load_stack(stack.save(tmp_path / "stack.safetensors"))[0]
    read, wanted = sae.split(raw)
    scaled = (raw - mean) * factor
    assert torch.allclose(wanted, routed(p, scaled), atol=1e-5)
    assert torch.allclose(sae.encode(read), ARCH.encode(CONFIG, p, scaled).dense(), atol=1e-5)
    found = fidelity(sae, raw)
    error = ((wanted - sae(read)) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum()
    assert found.explained_variance == pytest.approx(1 - float(error), abs=1e-5)
    with pytest.raises(Refused, match="each with its own scale"):
        sae.folded()


def test_rows_that_are_no_whole_number_of_layers() -> None:
    with pytest.raises(UserError, match="route reads 3 hooks of one width, but a row has 16 columns"):
        check_sizes(CONFIG, 16)
    with pytest.raises(UserError, match="k = 6 is not sparse for d_in = 6"):
        check_sizes(RouteConfig(d_sae=F, k=6, layers=3), 18)
