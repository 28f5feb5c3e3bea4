"""What is minimised: the terms of an architecture, and those that a config can ask for on any of them.

    decorrelation = weight * V * sum_{i != j} (w_i . w_j)^2 / (F (F - 1)),   w = unit decoder rows

with V the variance of the rows, so that a weight means the same on all data; from the O x O Gram matrix of the rows,
`(||W^T W||_F^2 - F) / (F (F - 1))`, which equals the sum over pairs exactly. The terms of a head: see `supervised.py`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.codes import Codes, decode
from husai.saes.config import CommonConfig
from husai.saes.parameters import Parameters, squared_error, unit_rows
from husai.saes.supervised import head_terms


def loss_terms(arch: Architecture[Any], config: CommonConfig, p: Parameters, batch: Batch) -> tuple[Terms, Codes]:
    """Named terms whose sum is minimised, and the codes."""
    terms, codes = arch.objective(config, p, batch)
    if config.decorrelation:
        terms = terms | {"decorrelation": config.decorrelation * batch.variance * overlap(p["W_dec"])}
    if config.supervised is not None:
        terms = terms | head_terms(config.supervised, p, batch, codes)
    return terms, codes


def overlap(W_FO: Tensor) -> Tensor:
    """Mean squared cosine between different rows."""
    unit, F = unit_rows(W_FO), W_FO.shape[0]
    return ((unit.T @ unit).square().sum() - F) / (F * max(F - 1, 1))


def song_terms(weight: float, p: Parameters, batch: Batch, codes: Codes) -> Terms:
    """The objective of 2505.20254: MSE as a mean over elements + weight * mean_b sum_f |f|, without decoder norms."""
    x_hat = decode(codes, p["W_dec"], p["b_dec"])
    penalty = codes.dense().abs().sum(-1).mean()
    return {"mse": squared_error(batch.y_BO, x_hat) / batch.y_BO.shape[-1], "l1": weight * penalty}
