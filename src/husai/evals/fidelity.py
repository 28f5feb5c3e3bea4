"""Reconstruction and sparsity of one SAE on activations: explained variance, MSE, L0, dead latents, density.

`EV = 1 - sum ||x - x_hat||^2 / sum ||x - mu||^2`, mu = mean of the evaluation rows, sums streamed in float64. Unchanged
by batch size and by the scale of the activations; 0 for the mean predictor. Four other "explained variances" circulate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise as successive

import numpy as np
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.codes import DenseCodes
from husai.saes.sae import SAE

BLOCK = 2048
DENSITY_EDGES = np.array([-np.inf, -5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0])


@dataclass(frozen=True)
class Fidelity:
    """Measured on `n_rows` rows. Per latent [F]: firing frequency, mean activation when firing, EV lost without it.

    `mse` is the mean over rows of the squared distance summed over D, in squared units of the activations.
    """

    explained_variance: float
    mse: float
    l0: float
    n_rows: int
    frequency_F: np.ndarray
    mean_activation_F: np.ndarray
    ev_carried_F: np.ndarray

    @property
    def alive_F(self) -> np.ndarray:
        """[F] bool: fired on at least one of the `n_rows` rows."""
        return self.frequency_F > 0

    @property
    def dead_share(self) -> float:
        """Share of latents that never fired on the `n_rows` rows."""
        return float(1 - self.alive_F.mean())

    @property
    def mass_F(self) -> np.ndarray:
        """[F] share of all activation mass (frequency times mean activation)."""
        mass = self.frequency_F * self.mean_activation_F
        return mass / mass.sum() if mass.sum() > 0 else mass

    def density(self) -> dict[str, int]:
        """Histogram of log10 firing frequency; dead latents apart."""
        counts, _ = np.histogram(np.log10(self.frequency_F[self.alive_F]), bins=DENSITY_EDGES)
        names = [f"{low:g}..{high:g}" for low, high in successive(DENSITY_EDGES)]
        return {"dead": int((~self.alive_F).sum())} | {n: int(c) for n, c in zip(names, counts, strict=True)}


def blocks(x_ND: Tensor, size: int = BLOCK) -> Iterator[Tensor]:
    """Rows in pieces."""
    for first in range(0, x_ND.shape[0], size):
        yield x_ND[first : first + size]


def total_variance(x_ND: Tensor) -> float:
    """`sum ||x - mu||^2` in float64.

    Raises:
        UserError: all rows are equal, so that there is nothing to explain.
    """
    mean = x_ND.mean(0, dtype=torch.float64)
    total = sum(float((block.double() - mean).square().sum()) for block in blocks(x_ND))
    if total <= 0:
        raise UserError("the evaluation rows are all equal: explained variance is not defined on them")
    return total


def explained_variance(x_ND: Tensor, reconstruct: Callable[[Tensor], Tensor], size: int = BLOCK) -> float:
    """EV of any `reconstruct(x [B, D]) -> [B, D]` on rows x [N, D]."""
    error = sum(float((block.double() - reconstruct(block).double()).square().sum()) for block in blocks(x_ND, size))
    return 1 - error / total_variance(x_ND)


@torch.no_grad()
def fidelity(sae: SAE, x_ND: Tensor) -> Fidelity:
    """Measure one SAE on rows x [N, D] in the units of the activations."""
    total, n, F = total_variance(sae.split(x_ND)[1]), x_ND.shape[0], sae.config.d_sae
    fired, mass, carried = (np.zeros(F) for _ in range(3))
    error = l0 = 0.0
    W_dec = sae.W_dec.double() * sae.output_scale
    rows_norm = W_dec.square().sum(-1)
    for block in blocks(x_ND):
        read, wanted = sae.split(block)
        codes = sae.codes(read)
        residual = wanted.double() - sae.reconstruct(codes, read).double()
        dense = codes.dense().double()
        error += float(residual.square().sum())
        l0 += float((dense != 0).sum())
        fired += (dense != 0).sum(0).numpy()
        mass += dense.abs().sum(0).numpy()
        along = residual @ W_dec.T
        carried += (dense.square() * rows_norm + 2 * dense * along).sum(0).numpy()
    mean_activation = np.divide(mass, fired, out=np.zeros(F), where=fired > 0)
    return Fidelity(1 - error / total, error / n, l0 / n, n, fired / n, mean_activation, carried / total)


@torch.no_grad()
def subset_explained_variance(sae: SAE, x_ND: Tensor, keep_F: np.ndarray) -> float:
    """EV when only the latents in `keep_F` [F] bool may act (the others' codes are set to zero)."""
    keep, error = torch.from_numpy(keep_F.astype(np.float32)), 0.0
    for block in blocks(x_ND):
        read, wanted = sae.split(block)
        reconstruction = sae.reconstruct(DenseCodes(sae.encode(read) * keep), read)
        error += float((wanted.double() - reconstruction.double()).square().sum())
    return 1 - error / total_variance(sae.split(x_ND)[1])
