"""Gated SAE (2404.16014): whether a latent fires and how strongly are read by two paths that share W_enc.

    gate = W_enc (x - b_dec) + b_gate;   magnitude = relu(exp(r_mag) * W_enc (x - b_dec) + b_mag)
    f = [gate > 0] magnitude;   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + l1 * mean_b sum_f relu(gate_f) + mean_b ||x - (relu(gate) W_dec + b_dec)||^2

The penalty acts on the gate alone, so codes do not shrink; with free decoder norms each latent is weighted by the norm
of its row, as in `relu_l1.py`. No gradient goes through [gate > 0]: the gate learns from the last term. That term
leaves W_dec and b_dec alone, as the source says of it; public codes stop only the b_dec of the decoder and let the term
move it through x - b_dec. Here both are held.

There is no `b_enc`: neither `b_gate` nor `b_mag` means what it means elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.codes import DenseCodes, decode
from husai.saes.config import GatedConfig
from husai.saes.folding import fold_biases
from husai.saes.parameters import Parameters, core_shapes, initial, squared_error

OWN = ("b_gate", "b_mag", "r_mag")


def shapes(config: GatedConfig, d_in: int) -> Shapes:
    """The core with `b_gate`, `b_mag` and `r_mag`, all [F], in place of `b_enc`."""
    core = core_shapes(config.d_sae, d_in)
    bias = core.pop("b_enc")
    return core | dict.fromkeys(OWN, bias)


def init(config: GatedConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Unit Gaussian decoder rows, tied encoder by default; both paths start as the same ReLU."""
    core = initial(d_in, config.d_sae, config.tied_init, generator)
    zero_F = core.pop("b_enc")
    return core | {name: zero_F.clone() for name in OWN}


def encode(config: GatedConfig, p: Parameters, x_BD: Tensor) -> DenseCodes:
    """Magnitudes where the gate is open."""
    return _codes(config, p, x_BD @ p["W_enc"].T)


def objective(config: GatedConfig, p: Parameters, batch: Batch) -> tuple[Terms, DenseCodes]:
    """`mse`, `l1` and `aux`."""
    product_BF = batch.x_BD @ p["W_enc"].T
    codes = _codes(config, p, product_BF)
    weight = p["W_dec"].norm(dim=-1) if config.decoder_norm == "free" else 1.0
    penalty = (_gate(config, p, product_BF).relu() * weight).sum(-1).mean()
    held = p | {name: p[name].detach() for name in ("W_dec", "b_dec")}
    by_gate = decode(DenseCodes(_gate(config, held, product_BF).relu()), held["W_dec"], held["b_dec"])
    mse = squared_error(batch.y_BO, decode(codes, p["W_dec"], p["b_dec"]))
    return {"mse": mse, "l1": config.l1 * penalty, "aux": squared_error(batch.y_BO, by_gate)}, codes


def fold(config: GatedConfig, p: Parameters, mean_D: Tensor, factor: float | Tensor) -> Parameters:
    """Both biases, each with the gain of its path."""
    return fold_biases(config, p, mean_D, factor, {"b_gate": 1.0, "b_mag": p["r_mag"].double().exp()})


def _codes(config: GatedConfig, p: Parameters, product_BF: Tensor) -> DenseCodes:
    open_BF = _gate(config, p, product_BF) > 0
    gain_F = p["r_mag"].exp()
    return DenseCodes((product_BF * gain_F + (p["b_mag"] - gain_F * _shift(config, p))).relu() * open_BF)


def _gate(config: GatedConfig, p: Parameters, product_BF: Tensor) -> Tensor:
    return product_BF + (p["b_gate"] - _shift(config, p))


def _shift(config: GatedConfig, p: Parameters) -> Tensor:
    """[F]: what is read of b_dec."""
    return p["W_enc"] @ p["b_dec"] if config.subtract_b_dec else torch.zeros_like(p["b_gate"])


GATED = Architecture(
    summary="whether a latent fires and how strongly are read apart; L1 on the first only",
    source="arXiv 2404.16014",
    sparse=False,
    knob="l1",
    encode=encode,
    objective=objective,
    shapes=shapes,
    init=init,
    fold=fold,
    per_latent=("W_enc", "W_dec", *OWN),
)
