"""The gated SAE: both paths, each loss term and each gradient against its formula written out in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.saes.architecture import Batch
from husai.saes.config import GatedConfig
from husai.saes.gated import GATED
from husai.saes.parameters import Parameters

F, D = 20, 8
NAMES = ("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec")
MOVED = {
    "mse": {"W_enc", "b_mag", "r_mag", "W_dec", "b_dec"},  # no gradient goes through [gate > 0]
    "l1": {"W_enc", "b_gate", "b_dec"},  # b_dec through x - b_dec
    "aux": {"W_enc", "b_gate"},
}


def ready(config: GatedConfig) -> tuple[Parameters, Batch]:
    generator = torch.Generator().manual_seed(3)
    p = {n: t.double() for n, t in GATED.init(config, D, generator, None).items()}
    for name in ("b_gate", "b_mag", "r_mag", "b_dec"):
        p[name] = 0.3 * torch.randn(p[name].shape, generator=generator, dtype=torch.float64)
    x = torch.randn(16, D, generator=generator, dtype=torch.float64)
    return {n: t.requires_grad_() for n, t in p.items()}, Batch.of(x, torch.zeros(F) > 0)


def written_out(p: Parameters, x: Tensor, l1: float, norm: bool, subtract: bool = True) -> dict[str, Tensor]:
    centred = x - p["b_dec"] if subtract else x
    gate = centred @ p["W_enc"].T + p["b_gate"]
    magnitude = torch.clamp(torch.exp(p["r_mag"]) * (centred @ p["W_enc"].T) + p["b_mag"], min=0)
    f = torch.where(gate > 0, magnitude, torch.zeros_like(magnitude))
    weight = p["W_dec"].norm(dim=1) if norm else torch.ones(F, dtype=torch.float64)
    by_gate = torch.clamp(gate, min=0) @ p["W_dec"] + p["b_dec"]
    return {
        "mse": ((x - f @ p["W_dec"] - p["b_dec"]) ** 2).sum(1).mean(),
        "l1": l1 * (torch.clamp(gate, min=0) * weight).sum(1).mean(),
        "aux": ((x - by_gate) ** 2).sum(1).mean(),
        "codes": f,
    }


def test_parameters_are_those_that_files_of_others_name() -> None:
    config = GatedConfig(d_sae=F)
    shapes = GATED.shapes(config, D)
    assert shapes == {"W_enc": (F, D), "W_dec": (F, D), "b_dec": (D,)} | dict.fromkeys(
        ("b_gate", "b_mag", "r_mag"), (F,)
    )
    p = GATED.init(config, D, torch.Generator(), None)
    assert {n: tuple(t.shape) for n, t in p.items()} == shapes
    assert p["b_gate"].data_ptr() != p["b_mag"].data_ptr()


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("norm", ["unit", "free"])
def test_terms_and_codes_are_those_of_the_source(norm: str, subtract: bool) -> None:
    config = GatedConfig.parse({"d_sae": F, "l1": 0.7, "decoder_norm": norm, "subtract_b_dec": subtract})
    p, batch = ready(config)
    with torch.no_grad():
        p["W_dec"] *= torch.linspace(0.5, 2, F, dtype=torch.float64)[:, None]
    terms, codes = GATED.objective(config, p, batch)
    expected = written_out(p, batch.x_BD, 0.7, norm == "free", subtract)
    assert terms.keys() == {"mse", "l1", "aux"}
    for name, term in terms.items():
        assert float(term.detach()) == pytest.approx(float(expected[name].detach()), rel=1e-12), name
    assert torch.allclose(codes.dense(), expected["codes"], atol=1e-12)
    assert torch.equal(codes.dense(), GATED.encode(config, p, batch.x_BD).dense())


@pytest.mark.parametrize("term", MOVED)
def test_each_term_moves_what_it_must_and_nothing_else(term: str) -> None:
    config = GatedConfig(d_sae=F, l1=0.7)
    p, batch = ready(config)
    terms, _ = GATED.objective(config, p, batch)
    grads = torch.autograd.grad(terms[term], [p[n] for n in NAMES], materialize_grads=True)
    moved = {n for n, g in zip(NAMES, grads, strict=True) if bool(g.abs().sum() > 0)}
    assert moved == MOVED[term]


def test_gradients_are_those_of_the_formulas() -> None:
    """With free norms, so that the penalty reaches the decoder; the last term with its decoder, and b_dec, held."""
    config = GatedConfig(d_sae=F, l1=0.7, decoder_norm="free")
    p, batch = ready(config)
    terms, _ = GATED.objective(config, p, batch)
    free = written_out(p, batch.x_BD, 0.7, True)
    held = written_out(p | {n: p[n].detach() for n in ("W_dec", "b_dec")}, batch.x_BD, 0.7, True)
    expected = free["mse"] + free["l1"] + held["aux"]
    ours = torch.autograd.grad(torch.stack(list(terms.values())).sum(), [p[n] for n in NAMES])
    theirs = torch.autograd.grad(expected, [p[n] for n in NAMES])
    for name, a, b in zip(NAMES, ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-11), name


def test_every_term_passes_the_gradient_check_of_torch() -> None:
    """Away from the steps of the gate; the last term apart, since finite differences know nothing of detach."""
    config = GatedConfig(d_sae=F, l1=0.7, decoder_norm="free")
    p, batch = ready(config)

    def smooth(*values: Tensor) -> tuple[Tensor, ...]:
        terms, _ = GATED.objective(config, dict(zip(NAMES, values, strict=True)), batch)
        return terms["mse"], terms["l1"]

    def auxiliary(W_enc: Tensor, b_gate: Tensor) -> Tensor:
        return GATED.objective(config, p | {"W_enc": W_enc, "b_gate": b_gate}, batch)[0]["aux"]

    assert torch.autograd.gradcheck(smooth, tuple(p[n] for n in NAMES))
    assert torch.autograd.gradcheck(auxiliary, (p["W_enc"], p["b_gate"]))


def test_a_closed_gate_gives_nothing_however_large_the_magnitude() -> None:
    config = GatedConfig(d_sae=F)
    p, batch = ready(config)
    with torch.no_grad():
        p["b_gate"][:10], p["b_mag"][:] = -100, 50
    codes = GATED.encode(config, p, batch.x_BD).dense()
    assert not codes[:, :10].any() and (codes[:, 10:] > 0).any()
