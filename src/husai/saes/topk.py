"""TopK SAE (Makhzani & Frey 1312.5663; OpenAI 2406.04093).

    pre = W_enc (x - b_dec) + b_enc;   f = the k largest of relu(pre);   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + AuxK (see `aux.py`)

With `song_l1`, instead: the objective of 2505.20254 (see `objective.py`).
"""

from __future__ import annotations

from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import aux_term, keep_largest
from husai.saes.codes import SparseCodes, decode
from husai.saes.config import KConfig, TopKConfig
from husai.saes.objective import song_terms
from husai.saes.parameters import Parameters, pre_activations, squared_error


def encode(config: KConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """The k largest of relu(pre) in each row."""
    return keep_largest(pre_activations(p, x_BD, config.subtract_b_dec).relu(), config.k)


def reconstruction(config: KConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse` and `aux`, of any architecture that keeps the k largest."""
    pre = pre_activations(p, batch.x_BD, config.subtract_b_dec)
    codes = keep_largest(pre.relu(), config.k)
    x_hat = decode(codes, p["W_dec"], p["b_dec"])
    return {"mse": squared_error(batch.y_BO, x_hat)} | aux_term(config, p, batch, pre, x_hat), codes


def objective(config: TopKConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse` and `aux`; with `song_l1` its `mse` and `l1`."""
    if config.song_l1 is None:
        return reconstruction(config, p, batch)
    codes = encode(config, p, batch.x_BD)
    return song_terms(config.song_l1, p, batch, codes), codes


TOPK = Architecture(
    summary="the k largest pre-activations of each row",
    source="arXiv 2406.04093",
    sparse=True,
    knob="k",
    encode=encode,
    objective=objective,
)
