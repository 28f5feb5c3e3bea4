"""k-means centroids of rows: Lloyd's iterations from distinct random rows; equal for equal rows and generator."""

from __future__ import annotations

import warnings

import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from husai.errors import UserError

ITERATIONS = 20


def centroids(rows_ND: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Centroids [n, D] of rows [N, D]: each the mean of the rows nearest to it; where it has lost all, of those it had.

    Raises:
        UserError: fewer rows than centroids.
    """
    if len(rows_ND) < n:
        raise UserError(f"{len(rows_ND)} rows have no {n} centroids: lower n_centroids, or give more rows")
    chosen = torch.randperm(len(rows_ND), generator=generator)[:n]
    data = rows_ND.double().numpy()
    with warnings.catch_warnings():  # an empty cluster stays where it was, in the hull
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        found, _ = kmeans2(data, data[chosen.numpy()], iter=ITERATIONS, minit="matrix", missing="warn")
    return torch.from_numpy(found).to(rows_ND.dtype)
