"""TopK SAE (Makhzani & Frey 1312.5663; with AuxK, OpenAI 2406.04093).

    pre = W_enc (x - b_dec) + b_enc;   f = the k largest of relu(pre);   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + c * V * mean_b ||e - e_hat||^2 / mean_b ||e - mean e||^2

with e = x - x_hat (no gradient through it), e_hat the best `aux_k` dead latents' codes times W_dec, without b_dec, and
V = mean_b ||x - mean x||^2. In the source both terms are relative to a variance and c = 1/32; here the first keeps the
units of the data, so the second is given them: without V the weight of AuxK would depend on their scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.architecture import Terms
from husai.saes.codes import SparseCodes, decode
from husai.saes.config import TopKConfig
from husai.saes.parameters import Parameters, core_shapes, initial, pre_activations, squared_error, unit_rows
from husai.saes.select import largest


class TopK:
    """Architecture `topk`: sparse codes with `k` latents per row."""

    source = "arXiv 2406.04093"

    def shapes(self, config: TopKConfig, d_in: int) -> dict[str, tuple[int, ...]]:
        """The core."""
        return core_shapes(config.d_sae, d_in)

    def init(self, config: TopKConfig, d_in: int, generator: torch.Generator) -> Parameters:
        """Unit Gaussian decoder rows, tied encoder by default, biases 0."""
        return initial(d_in, config.d_sae, config.tied_init, generator)

    def encode(self, config: TopKConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
        """The k largest of relu(pre) in each row."""
        return _select(pre_activations(p, x_BD), config.k)

    def objective(self, config: TopKConfig, p: Parameters, x_BD: Tensor, dead_F: Tensor) -> tuple[Terms, SparseCodes]:
        """`mse` and, when some latents are dead and `aux_k > 0`, `aux`."""
        pre = pre_activations(p, x_BD)
        codes = _select(pre, config.k)
        x_hat = decode(codes, p["W_dec"], p["b_dec"])
        terms = {"mse": squared_error(x_BD, x_hat)}
        if config.aux_k and bool(dead_F.any()):
            residual = (x_BD - x_hat).detach()
            variance = squared_error(x_BD, x_BD.mean(0, keepdim=True))
            terms["aux"] = config.aux_coefficient * variance * _aux(config, p, pre, residual, dead_F)
        return terms, codes

    def constrain_(self, config: TopKConfig, p: Parameters) -> None:
        """Unit decoder rows, unless the decoder norm is free."""
        if config.decoder_norm == "unit":
            p["W_dec"].copy_(unit_rows(p["W_dec"]))


def _select(pre_BF: Tensor, k: int) -> SparseCodes:
    positive = pre_BF.relu()
    indices = largest(positive, k)
    return SparseCodes(positive.gather(-1, indices), indices, pre_BF.shape[-1])


def _aux(config: TopKConfig, p: Parameters, pre_BF: Tensor, residual_BO: Tensor, dead_F: Tensor) -> Tensor:
    """Squared error of the dead latents' prediction of the residual, over the residual's variance."""
    k = min(config.aux_k, int(dead_F.sum()))
    codes = _select(pre_BF.masked_fill(~dead_F, -torch.inf), k)
    prediction = codes.dense() @ p["W_dec"]
    variance = squared_error(residual_BO, residual_BO.mean(0, keepdim=True))
    return squared_error(residual_BO, prediction) / variance.clamp_min(1e-12)
