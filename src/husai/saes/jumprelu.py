"""JumpReLU SAE (2407.14435): a learned threshold per latent, trained through a straight-through estimator.

    z = relu(W_enc (x - b_dec) + b_enc);   f = z [z > theta];   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + c V L0                       (`l0_target` not given)
    loss = mean_b ||x - x_hat||^2 + c V (L0 / l0_target - 1)^2   (`l0_target` given)

with L0 the mean number of latents above their threshold and V = mean_b ||x - mean x||^2, for the reason given in
`aux.py`. A step has no slope, so theta gets that of a rectangle of width `bandwidth` around it, as the source does:

    d f / d theta = -theta / bandwidth [|z - theta| < bandwidth / 2];   d [z > theta] / d theta = -1 / bandwidth [same]

and z gets d f / d z = [z > theta] and nothing from L0. theta is kept as its logarithm, so that it stays positive;
with `threshold_as = value` as itself, for SAEs of other tools: 0 has no logarithm, and few floats are the exponential
of one. Rows there have mean square norm 1, here d_in: `threshold` and `bandwidth` are in units of sqrt(d_in).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.codes import Codes, DenseCodes, decode
from husai.saes.config import JumpReluConfig
from husai.saes.parameters import Parameters, core_shapes, initial, pre_activations, squared_error

_NAMES = {"log": "log_threshold", "value": "threshold"}


def shapes(config: JumpReluConfig, d_in: int) -> Shapes:
    """The core and `log_threshold` [F], or `threshold` [F]."""
    return core_shapes(config.d_sae, d_in) | {_NAMES[config.threshold_as]: (config.d_sae,)}


def threshold(config: JumpReluConfig, p: Parameters) -> Tensor:
    """[F]: theta, however it is kept."""
    kept_F = p[_NAMES[config.threshold_as]]
    return kept_F.exp() if config.threshold_as == "log" else kept_F


def init(config: JumpReluConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Unit Gaussian decoder rows, tied encoder by default, biases 0, equal thresholds."""
    theta = config.threshold * math.sqrt(d_in)
    start = math.log(theta) if config.threshold_as == "log" else theta
    return initial(d_in, config.d_sae, config.tied_init, generator) | {
        _NAMES[config.threshold_as]: torch.full((config.d_sae,), start)
    }


def encode(config: JumpReluConfig, p: Parameters, x_BD: Tensor) -> DenseCodes:
    """Pre-activations above their threshold."""
    z_BF = pre_activations(p, x_BD, config.subtract_b_dec).relu()
    return DenseCodes(z_BF * (z_BF > threshold(config, p)))


def objective(config: JumpReluConfig, p: Parameters, batch: Batch) -> tuple[Terms, Codes]:
    """`mse` and `l0`."""
    z_BF = pre_activations(p, batch.x_BD, config.subtract_b_dec).relu()
    theta_F, width = threshold(config, p), config.bandwidth * math.sqrt(batch.x_BD.shape[1])
    codes = DenseCodes(_Jump.apply(z_BF, theta_F, width))
    L0 = _Step.apply(z_BF.detach(), theta_F, width).sum(-1).mean()
    excess = L0 if config.l0_target is None else (L0 / config.l0_target - 1).square()
    mse = squared_error(batch.y_BO, decode(codes, p["W_dec"], p["b_dec"]))
    return {"mse": mse, "l0": config.l0_coefficient * batch.variance * excess}, codes


class _Jump(torch.autograd.Function):
    """f = z [z > theta] with the slopes of the source."""

    @staticmethod
    def forward(ctx: Any, z_BF: Tensor, theta_F: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z_BF, theta_F)
        ctx.width = width
        return z_BF * (z_BF > theta_F)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z_BF, theta_F = ctx.saved_tensors
        near_BF = (z_BF - theta_F).abs() < ctx.width / 2
        return grads[0] * (z_BF > theta_F), -(theta_F / ctx.width) * (grads[0] * near_BF).sum(0), None


class _Step(torch.autograd.Function):
    """[z > theta] with the slopes of the source."""

    @staticmethod
    def forward(ctx: Any, z_BF: Tensor, theta_F: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z_BF, theta_F)
        ctx.width = width
        return (z_BF > theta_F).to(z_BF.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        z_BF, theta_F = ctx.saved_tensors
        near_BF = (z_BF - theta_F).abs() < ctx.width / 2
        return None, -(grads[0] * near_BF).sum(0) / ctx.width, None


JUMPRELU = Architecture(
    summary="ReLU with a learned threshold per latent, with a target for L0",
    source="arXiv 2407.14435",
    sparse=False,
    knob="l0_target",
    encode=encode,
    objective=objective,
    shapes=shapes,
    init=init,
    per_latent=("W_enc", "b_enc", "W_dec", *_NAMES.values()),
)
