"""Parameters of one SAE, feature-major: their seeded start, their pre-activations, the norm of their decoder rows."""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.config import DecoderNorm

# W_enc [F, D], b_enc [F], W_dec [F, O], b_dec [O], and what one architecture needs beside or, for b_enc, instead.
Parameters = dict[str, Tensor]
CORE = ("W_enc", "b_enc", "W_dec", "b_dec")


def pre_activations(p: Parameters, x_BD: Tensor, subtract_b_dec: bool = True) -> Tensor:
    """[B, F]: `W_enc (x - b_dec) + b_enc`, with the bias folded so that no gradient runs through `x - b_dec`."""
    bias_F = p["b_enc"] - p["W_enc"] @ p["b_dec"] if subtract_b_dec else p["b_enc"]
    return torch.addmm(bias_F, x_BD, p["W_enc"].T)


def initial(d_in: int, d_sae: int, tied: bool, generator: torch.Generator) -> Parameters:
    """Unit-norm Gaussian decoder rows; the encoder starts as their transpose (tied) or as its own draw; biases 0."""
    W_dec = unit_rows(torch.randn(d_sae, d_in, generator=generator))
    W_enc = W_dec.clone() if tied else unit_rows(torch.randn(d_sae, d_in, generator=generator))
    return {"W_enc": W_enc, "b_enc": torch.zeros(d_sae), "W_dec": W_dec, "b_dec": torch.zeros(d_in)}


def core_shapes(d_sae: int, d_in: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the usual parameters; `b_enc` is the one that an architecture may replace."""
    return {"W_enc": (d_sae, d_in), "b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}


def unit_rows(W_FO: Tensor) -> Tensor:
    """Rows divided by their norm; a zero row stays zero."""
    return W_FO / W_FO.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def after_step_(decoder_norm: DecoderNorm, p: Parameters) -> None:
    """Unit decoder rows, unless their norm is free."""
    if decoder_norm != "free":
        p["W_dec"].copy_(unit_rows(p["W_dec"]))


def across(gradient_FO: Tensor, W_FO: Tensor) -> Tensor:
    """The gradient of rows without its part along them, which would only change their length."""
    unit = unit_rows(W_FO)
    return gradient_FO - (gradient_FO * unit).sum(-1, keepdim=True) * unit


def squared_error(x_BO: Tensor, reconstruction_BO: Tensor) -> Tensor:
    """MSE: mean over rows of the squared distance, summed over dimensions."""
    return (reconstruction_BO - x_BO).square().sum(-1).mean()
