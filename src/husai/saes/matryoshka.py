"""Matryoshka BatchTopK SAE (2503.17547): the first latents are a dictionary on their own, for several sizes.

    f = the B k largest of relu(pre) of the batch, selected once among all latents (see `batch_select.py`)
    x_hat_m = f_{0:m} W_dec_{0:m} + b_dec
    loss = sum over m of `prefixes` of mean_b ||x - x_hat_m||^2 + AuxK (see `aux.py`)

The largest m is d_sae: its term is `mse`, those of the smaller ones are `mse_<m>`, and none is there twice. AuxK is
about what the whole dictionary leaves and counts once; there is no term that pushes latents down.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from husai.saes import batch_select
from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import aux_term
from husai.saes.codes import DenseCodes
from husai.saes.config import MatryoshkaConfig
from husai.saes.parameters import Parameters, pre_activations, squared_error


def objective(config: MatryoshkaConfig, p: Parameters, batch: Batch) -> tuple[Terms, DenseCodes]:
    """`mse`, `mse_<m>` for every smaller prefix, and `aux`."""
    pre = pre_activations(p, batch.x_BD, config.subtract_b_dec)
    codes = batch_select.keep_in_batch(pre.relu(), config.k)
    x_hats = nested(p, codes.values_BF, config.widths)
    whole = x_hats.pop(config.d_sae)
    smaller = {f"mse_{m}": squared_error(batch.y_BO, x_hat) for m, x_hat in x_hats.items()}
    return {"mse": squared_error(batch.y_BO, whole)} | smaller | aux_term(config, p, batch, pre, whole), codes


def nested(p: Parameters, values_BF: Tensor, widths: tuple[int, ...]) -> dict[int, Tensor]:
    """x_hat_m [B, O] for every m of `widths`; each adds what its own latents give to the one before."""
    x_hat, found = p["b_dec"], {}
    for low, high in pairwise((0, *widths)):
        x_hat = x_hat + values_BF[:, low:high] @ p["W_dec"][low:high]
        found[high] = x_hat
    return found


MATRYOSHKA = Architecture(
    summary="BatchTopK whose first latents reconstruct on their own, for nested sizes",
    source="arXiv 2503.17547",
    sparse=True,
    knob="k",
    encode=batch_select.encode,
    objective=objective,
    shapes=batch_select.shapes,
    init=batch_select.init,
    after_step_=batch_select.follow_,
    buffers=batch_select.BUFFERS,
)
