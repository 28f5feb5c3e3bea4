"""AbsTopK SAE (2510.00404): a latent may point either way.

    pre = W_enc (x - b_dec) + b_enc;   f = pre where |pre| is among the k largest, else 0;   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + AuxK (see `aux.py`)

AuxK takes the best dead latents by absolute value too, since a dead one may help with either sign. A row of W_dec and
its negative are the same latent here: compare seeds by `mcc_abs`.
"""

from __future__ import annotations

from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import aux_term
from husai.saes.codes import SparseCodes, decode
from husai.saes.config import AbsTopKConfig
from husai.saes.parameters import Parameters, pre_activations, squared_error
from husai.saes.select import largest


def keep_strongest(pre_BF: Tensor, k: int) -> SparseCodes:
    """The k of largest absolute value in each row, with their sign; ties to the lowest index."""
    indices = largest(pre_BF.abs(), k)
    return SparseCodes(pre_BF.gather(-1, indices), indices, pre_BF.shape[-1])


def encode(config: AbsTopKConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """The k pre-activations of largest absolute value in each row."""
    return keep_strongest(pre_activations(p, x_BD, config.subtract_b_dec), config.k)


def objective(config: AbsTopKConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse` and `aux`."""
    pre = pre_activations(p, batch.x_BD, config.subtract_b_dec)
    codes = keep_strongest(pre, config.k)
    x_hat = decode(codes, p["W_dec"], p["b_dec"])
    aux = aux_term(config, p, batch, pre, x_hat, keep_strongest)
    return {"mse": squared_error(batch.y_BO, x_hat)} | aux, codes


ABSTOPK = Architecture(
    summary="the k pre-activations of largest absolute value of each row, with their sign",
    source="arXiv 2510.00404",
    sparse=True,
    knob="k",
    encode=encode,
    objective=objective,
)
