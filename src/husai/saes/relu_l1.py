"""ReLU SAE with an L1 penalty weighted by decoder norms (Bricken et al. 2023; norm weighting: Anthropic, April 2024).

    f = relu(W_enc (x - b_dec) + b_enc);   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + l1 * mean_b sum_f |f| ||W_dec_f||

The penalty is a *sum* over latents; writing it as a mean changes `l1` by a factor of d_sae. With `song_l1`, instead:
the objective of 2505.20254 (see `objective.py`).
"""

from __future__ import annotations

from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.codes import DenseCodes, decode
from husai.saes.config import ReluL1Config
from husai.saes.objective import song_terms
from husai.saes.parameters import Parameters, pre_activations, squared_error


def encode(config: ReluL1Config, p: Parameters, x_BD: Tensor) -> DenseCodes:
    """relu(pre)."""
    return DenseCodes(pre_activations(p, x_BD, config.subtract_b_dec).relu())


def objective(config: ReluL1Config, p: Parameters, batch: Batch) -> tuple[Terms, DenseCodes]:
    """`mse` and `l1`."""
    codes = encode(config, p, batch.x_BD)
    if config.song_l1 is not None:
        return song_terms(config.song_l1, p, batch, codes), codes
    penalty = (codes.values_BF * p["W_dec"].norm(dim=-1)).sum(-1).mean()
    x_hat = decode(codes, p["W_dec"], p["b_dec"])
    return {"mse": squared_error(batch.y_BO, x_hat), "l1": config.l1 * penalty}, codes


RELU_L1 = Architecture(
    summary="ReLU, sparse through an L1 penalty weighted by decoder norms",
    source="transformer-circuits.pub 2023/monosemantic-features and the April 2024 update",
    sparse=False,
    knob="l1",
    encode=encode,
    objective=objective,
)
