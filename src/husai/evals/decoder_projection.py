"""How strongly ordinary rows project on ordinary latents: a sign of an L0 that is too low (arXiv 2508.16560).

    Z = (x - b_dec) unit(W_dec)^T  [N, F],      s_n = the (n N)-th largest entry of Z,      n = F / 2

Where fewer latents may be active than the data need, latents mix what occurs together, and rows project on latents that
are not theirs: s_n is high. It falls towards the L0 of the data and is flat beyond. Beside it stands c_dec, the mean
absolute cosine between two latents.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from husai.saes.parameters import unit_rows
from husai.saes.sae import SAE

MOST_ROWS = 8192


@dataclass(frozen=True)
class Projection:
    """`s_n` in units of the scaled rows, `c_dec` a mean of absolute cosines; `n` latents per row, over `rows` rows."""

    s_n: float
    c_dec: float
    n: int
    rows: int


@torch.no_grad()
def decoder_projection(sae: SAE, x_ND: Tensor) -> Projection:
    """Of one SAE on rows [N, D] in the units of the activations, at most `MOST_ROWS` of them, the first."""
    W_FD = unit_rows(sae.W_dec)
    nothing_D = sae.decode(torch.zeros(len(W_FD)))  # b_dec in the units of the activations
    rows_ND = (x_ND[:MOST_ROWS] - nothing_D) / sae.output_scale
    n = max(1, len(W_FD) // 2)
    values = (rows_ND @ W_FD.T).flatten()
    rank = len(values) - n * len(rows_ND) + 1  # the (n N)-th largest is the rank-th smallest
    cosines_FF = (W_FD @ W_FD.T).abs()
    others = len(W_FD) * (len(W_FD) - 1)
    c_dec = (cosines_FF.sum() - cosines_FF.diagonal().sum()) / max(others, 1)
    return Projection(float(values.kthvalue(rank).values), float(c_dec), n, len(rows_ND))
