"""Random directions, never trained: what the k nearest of d_sae directions give without any learning.

W_dec = unit Gaussian rows,  W_enc = W_dec,  b_enc = 0,  b_dec = 0;   f = the k largest of relu(W_enc x)
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import keep_largest
from husai.saes.codes import SparseCodes, decode
from husai.saes.config import RandomConfig
from husai.saes.parameters import Parameters, initial, pre_activations, squared_error


def init(config: RandomConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Unit Gaussian decoder rows, tied encoder, biases 0."""
    return initial(d_in, config.d_sae, True, generator)


def encode(config: RandomConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """The k largest of relu(pre) in each row."""
    return keep_largest(pre_activations(p, x_BD, config.subtract_b_dec).relu(), config.k)


def objective(config: RandomConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse`, which is only measured."""
    codes = encode(config, p, batch.x_BD)
    return {"mse": squared_error(batch.y_BO, decode(codes, p["W_dec"], p["b_dec"]))}, codes


RANDOM = Architecture(
    summary="random unit directions, the k largest of each row: not trained",
    source="a baseline of husai",
    sparse=True,
    knob="k",
    encode=encode,
    objective=objective,
    init=init,
    trained=False,
)
