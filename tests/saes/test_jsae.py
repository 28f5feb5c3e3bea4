"""JSAE: two SAEs in one set of matrices, the Jacobian against autograd, and the MLP that comes with the rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.config import JacobianConfig, TopKConfig
from husai.saes.jsae import jacobian, mlp, scaled_mlp
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.stack import SAEStack, load_stack
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import start

D, F, K, M, N = 5, 12, 3, 9, 30
NOBODY = torch.zeros(2 * F, dtype=torch.bool)


def config(**more: object) -> JacobianConfig:
    return JacobianConfig.parse({"d_sae": 2 * F, "k": K, "d_mlp": M, **more})


def ready(which: JacobianConfig, dtype: torch.dtype = torch.float64) -> tuple[Parameters, Tensor]:
    generator = torch.Generator().manual_seed(7)
    p = architecture(which).init(which, 2 * D, generator, None)
    p["b_enc"], p["b_dec"] = (
        0.1 * torch.randn(2 * F, generator=generator),
        0.1 * torch.randn(2 * D, generator=generator),
    )
    p |= {"mlp.W_in": torch.randn(D, M, generator=generator), "mlp.b_in": torch.randn(M, generator=generator)}
    p |= {"mlp.W_out": torch.randn(M, D, generator=generator)}
    return {name: t.to(dtype) for name, t in p.items()}, torch.randn(N, 2 * D, generator=generator).to(dtype)


def side(p: Parameters, which: int) -> Parameters:
    f, d = slice(which * F, (which + 1) * F), slice(which * D, (which + 1) * D)
    return {"W_enc": p["W_enc"][f, d], "W_dec": p["W_dec"][f, d], "b_enc": p["b_enc"][f], "b_dec": p["b_dec"][d]}


def test_each_side_is_a_topk_sae_of_its_own() -> None:
    which = config()
    p, rows = ready(which)
    arch, alone = architecture(which), TopKConfig(d_sae=F, k=K)
    terms, codes = arch.objective(which, p, Batch.of(rows, NOBODY))
    for place, name in enumerate(("mse", "mse_out")):
        q, x = side(p, place), rows[:, place * D : (place + 1) * D]
        own, own_codes = architecture(alone).objective(alone, q, Batch.of(x, NOBODY[:F]))
        assert float(terms[name]) == pytest.approx(float(own["mse"]), rel=1e-12)
        assert torch.allclose(codes.dense()[:, place * F : (place + 1) * F], own_codes.dense())
    assert set(terms) == {"mse", "mse_out"}
    assert torch.equal(arch.encode(which, p, rows).dense(), codes.dense())


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_jacobian_is_that_of_latents_through_the_mlp(activation: str) -> None:
    which = config(activation=activation)
    p, rows = ready(which)
    codes = architecture(which).encode(which, p, rows)
    of_x, of_y = side(p, 0), side(p, 1)

    def y_pre(f: Tensor) -> Tensor:
        return mlp(p, activation, f @ of_x["W_dec"] + of_x["b_dec"]) @ of_y["W_enc"].T

    half = type(codes)(codes.values_BK[:, :K], codes.indices_BK[:, :K], F)
    other = type(codes)(codes.values_BK[:, K:], codes.indices_BK[:, K:] - F, F)
    x_hat = half.dense() @ of_x["W_dec"] + of_x["b_dec"]
    found = jacobian(which, p, half, other, x_hat)
    for row in range(5):
        full = torch.autograd.functional.jacobian(y_pre, half.dense()[row])
        expected = full[other.indices_BK[row]][:, half.indices_BK[row]]
        assert torch.allclose(found[row], expected, atol=1e-10)


def test_the_jacobian_term_moves_what_it_should_and_is_relative_to_the_variance() -> None:
    which = config(jacobian=0.3)
    p, rows = ready(which)
    moving = {name: t.requires_grad_() for name, t in p.items() if not name.startswith("mlp")}
    terms, _ = architecture(which).objective(which, p | moving, Batch.of(rows, NOBODY))
    grads = torch.autograd.grad(terms["jacobian"], [p["W_enc"], p["W_dec"]])
    reads_y, writes_x = torch.zeros(2 * F, 2 * D), torch.zeros(2 * F, 2 * D)
    reads_y[F:, D:], writes_x[:F, :D] = 1, 1
    for gradient, allowed in zip(grads, (reads_y, writes_x), strict=True):
        assert gradient.abs().sum() > 0 and (gradient * (1 - allowed)).abs().sum() == 0
    doubled, _ = architecture(which).objective(config(jacobian=0.6), p, Batch.of(rows, NOBODY))
    assert float(doubled["jacobian"].detach()) == pytest.approx(2 * float(terms["jacobian"].detach()))


def test_training_leaves_the_mlp_and_what_is_beside_the_sides_alone() -> None:
    which = config(jacobian=0.1)
    p, rows = ready(which, torch.float32)
    context = {name: t for name, t in p.items() if name.startswith("mlp")}
    training = TrainingConfig(steps=4, batch=N)
    state = start(which, training, 2 * D, (0, 1), 0, context=context)
    for _ in range(4):
        ReferenceEngine(which, training).step(state, rows.expand(2, -1, -1), 1e-2)
    for name, given in context.items():
        assert torch.equal(state.parameters[name][1], given)
    for name in ("W_enc", "W_dec"):
        W = state.parameters[name]
        assert not W[:, :F, D:].any() and not W[:, F:, :D].any() and W[:, :F, :D].any()


def test_the_mlp_must_come_with_the_rows() -> None:
    with pytest.raises(UserError, match=r"jsae needs mlp\.W_in"):
        start(config(), TrainingConfig(), 2 * D, (0,), 0)
    p, _ = ready(config(), torch.float32)
    with pytest.raises(UserError, match=r"mlp\.W_in has shape \[5, 9\], jsae expects \[5, 4\]"):
        start(config(d_mlp=4), TrainingConfig(), 2 * D, (0,), 0, context=p)
    with pytest.raises(UserError, match="even number"):
        config(d_sae=25)


def test_saved_loaded_and_folded_it_is_the_same_function(tmp_path: Path) -> None:
    which = config(jacobian=0.1)
    p, rows = ready(which, torch.float32)
    mean, factor = rows.mean(0), torch.tensor([0.5] * D + [2.0] * D)
    stack = SAEStack(which, (0,), {name: t[None] for name, t in p.items()}, mean, factor)
    sae = load_stack(stack.save(tmp_path / "stack.safetensors"))[0]
    folded = sae.folded()
    assert torch.allclose(folded.encode(rows), sae.encode(rows), atol=1e-4)
    assert torch.allclose(folded(rows), sae(rows), atol=1e-4)
    x, z = rows[:, :D], (rows[:, :D] - mean[:D]) * 0.5
    assert torch.allclose(mlp(folded.parameters, "relu", x) * 2, mlp(sae.parameters, "relu", z), atol=1e-3)


def test_scaled_rows_see_the_same_mlp() -> None:
    generator = torch.Generator().manual_seed(0)
    W_in, b_in = torch.randn(D, M, generator=generator), torch.randn(M, generator=generator)
    W_out = torch.randn(M, D, generator=generator)
    x, mean = torch.randn(N, D, generator=generator), torch.randn(2 * D, generator=generator)
    factor = torch.tensor([0.5] * D + [2.0] * D)
    scaled = scaled_mlp(W_in, b_in, W_out, mean, factor)
    expected = torch.relu(x @ W_in + b_in) @ W_out * 2
    assert torch.allclose(mlp(scaled, "relu", (x - mean[:D]) * 0.5), expected, atol=1e-4)
