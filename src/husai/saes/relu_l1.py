"""ReLU SAE with an L1 penalty weighted by decoder norms (Bricken et al. 2023; norm weighting: Anthropic, April 2024).

    f = relu(W_enc (x - b_dec) + b_enc);   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + l1 * mean_b sum_f |f| ||W_dec_f||

The penalty is a *sum* over latents; writing it as a mean changes `l1` by a factor of d_sae.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.architecture import Terms
from husai.saes.codes import DenseCodes, decode
from husai.saes.config import ReluL1Config
from husai.saes.parameters import Parameters, core_shapes, initial, pre_activations, squared_error, unit_rows


class ReluL1:
    """Architecture `relu_l1`: dense codes, sparsity through the penalty."""

    source = "transformer-circuits.pub 2023/monosemantic-features and the April 2024 update"

    def shapes(self, config: ReluL1Config, d_in: int) -> dict[str, tuple[int, ...]]:
        """The core."""
        return core_shapes(config.d_sae, d_in)

    def init(self, config: ReluL1Config, d_in: int, generator: torch.Generator) -> Parameters:
        """Unit Gaussian decoder rows, tied encoder by default, biases 0."""
        return initial(d_in, config.d_sae, config.tied_init, generator)

    def encode(self, config: ReluL1Config, p: Parameters, x_BD: Tensor) -> DenseCodes:
        """relu(pre)."""
        return DenseCodes(pre_activations(p, x_BD).relu())

    def objective(self, config: ReluL1Config, p: Parameters, x_BD: Tensor, dead_F: Tensor) -> tuple[Terms, DenseCodes]:
        """`mse` and `l1`."""
        codes = self.encode(config, p, x_BD)
        penalty = (codes.values_BF * p["W_dec"].norm(dim=-1)).sum(-1).mean()
        x_hat = decode(codes, p["W_dec"], p["b_dec"])
        return {"mse": squared_error(x_BD, x_hat), "l1": config.l1 * penalty}, codes

    def constrain_(self, config: ReluL1Config, p: Parameters) -> None:
        """Unit decoder rows, unless the decoder norm is free."""
        if config.decoder_norm == "unit":
            p["W_dec"].copy_(unit_rows(p["W_dec"]))
