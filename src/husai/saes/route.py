"""RouteSAE (2503.08200): one TopK dictionary for several layers; a router picks the layer of each row.

    p = softmax(W_router sum_l x_l);   l = argmax p;   r = p_l x_l
    pre = W_enc (r - b_dec) + b_enc;   f = the k largest of relu(pre);   r_hat = f W_dec + b_dec
    loss = V mean_b ||r - r_hat||^2 / mean_b ||r||^2 + AuxK on r,   V = mean_b ||r - mean r||^2 (no gradient)

A row holds the layers side by side. The probability multiplies the chosen layer, so that the reconstruction moves the
router; the error is relative to r, as in the source, since the router would otherwise lower it by shrinking r. What is
reconstructed, and judged, is r in scaled units: the layer that was picked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.errors import Refused
from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.aux import aux_term, keep_largest
from husai.saes.codes import SparseCodes, decode
from husai.saes.config import RouteConfig
from husai.saes.parameters import Parameters, core_shapes, initial, pre_activations, squared_error


def routed(config: RouteConfig, p: Parameters, x_BD: Tensor) -> Tensor:
    """r [B, D / layers]: the layer that the router picks, times its probability."""
    layers_BLD = x_BD.unflatten(-1, (config.layers, -1))
    chance_BL = (layers_BLD.sum(1) @ p["W_router"].T).softmax(-1)
    best_B1 = chance_BL.argmax(-1, keepdim=True)
    picked_BD = layers_BLD.take_along_dim(best_B1[:, :, None], dim=1).squeeze(1)
    return chance_BL.gather(-1, best_B1) * picked_BD


def shapes(config: RouteConfig, width: int) -> Shapes:
    """The core for one layer, and `W_router` [layers, D]."""
    d_in = width // config.layers
    return core_shapes(config.d_sae, d_in) | {"W_router": (config.layers, d_in)}


def init(config: RouteConfig, width: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """As TopK; the router starts with small Gaussian weights, so that no layer is preferred."""
    d_in = width // config.layers
    p = initial(d_in, config.d_sae, config.tied_init, generator)
    return p | {"W_router": torch.randn(config.layers, d_in, generator=generator) / d_in}


def encode(config: RouteConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """Codes of the routed layer."""
    pre = pre_activations(p, routed(config, p, x_BD), config.subtract_b_dec)
    return keep_largest(pre.relu(), config.k)


def objective(config: RouteConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse`, relative to what was routed, and `aux`."""
    r = routed(config, p, batch.x_BD)
    pre = pre_activations(p, r, config.subtract_b_dec)
    codes = keep_largest(pre.relu(), config.k)
    r_hat = decode(codes, p["W_dec"], p["b_dec"])
    on_r = Batch(r, r, batch.dead_F)
    share = squared_error(r, r_hat) / r.square().sum(-1).mean()
    detached = Batch(r.detach(), r.detach(), batch.dead_F)
    return {"mse": on_r.variance.detach() * share} | aux_term(config, p, detached, pre, r_hat), codes


def fold(config: RouteConfig, p: Parameters, mean: Tensor, factor: float | Tensor) -> Parameters:
    """Not possible: a layer is picked from all layers at once, each with a mean and a scale of its own.

    Raises:
        Refused: always.
    """
    raise Refused("a RouteSAE reads several layers, each with its own scale, which no single set of weights can hold")


ROUTE = Architecture(
    summary="one dictionary over several layers; a router picks the layer of each row",
    source="arXiv 2503.08200",
    sparse=True,
    knob="k",
    shapes=shapes,
    init=init,
    encode=encode,
    objective=objective,
    target=routed,
    fold=fold,
    per_latent=(),
)
