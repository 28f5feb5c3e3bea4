"""Principal directions of the seed's own rows, behind the same encode and decode: the best linear code there is.

    W_dec = the first d_sae principal directions,  W_enc = W_dec,  b_dec = mean of the rows,  b_enc = 0
    f = W_enc (x - b_dec);   x_hat = f W_dec + b_dec

Nothing is trained, and no code is zero.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.architecture import Architecture
from husai.saes.config import PCAConfig
from husai.saes.linear import encode, objective
from husai.saes.parameters import Parameters


def pca_directions(x_ND: np.ndarray, n: int) -> np.ndarray:
    """The first `n` principal directions [n, D] of centred rows x [N, D], signs fixed by their largest entry."""
    centred = x_ND.astype(np.float64) - x_ND.mean(0, dtype=np.float64)
    _, _, Vt = np.linalg.svd(centred, full_matrices=False)
    directions = Vt[:n]
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])
    return directions * signs[:, None]


def init(config: PCAConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Everything there is to PCA.

    Raises:
        UserError: fewer rows or dimensions than directions.
    """
    assert rows_ND is not None
    directions_FD = pca_directions(rows_ND.numpy(), config.d_sae)
    if len(directions_FD) < config.d_sae:
        raise UserError(f"{list(rows_ND.shape)} rows have no {config.d_sae} principal directions: lower d_sae")
    W_FD = torch.from_numpy(directions_FD).to(rows_ND.dtype)
    mean_D = rows_ND.mean(0, dtype=torch.float64).to(rows_ND.dtype)
    return {"W_enc": W_FD, "b_enc": rows_ND.new_zeros(config.d_sae), "W_dec": W_FD.clone(), "b_dec": mean_D}


PCA = Architecture(
    summary="the first d_sae principal directions of the rows: not trained, no sparsity",
    source="Pearson 1901",
    sparse=False,
    encode=encode,
    objective=objective,
    init=init,
    needs_rows=True,
    trained=False,
)
