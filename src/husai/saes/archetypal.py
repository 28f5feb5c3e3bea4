"""Relaxed archetypal SAE, RA-SAE (2502.12892): decoder rows are mixtures of points of the data, up to a small rest.

    W_dec = A C + L;   rows of A [F, N] on the simplex;   ||L_f|| <= delta sqrt(d_in);   codes and loss as in `topk.py`

C [N, D] are k-means centroids of rows that no other seed starts from: centroids that seeds share would make their
dictionaries agree by themselves. A and L are what is trained; after each step A is projected onto the simplex and L
into its ball, both to the nearest point. W_dec is kept beside them, for everything that reads a dictionary.

As in the source, row f starts at a centroid, each centroid once; what is beyond N latents starts at a random point
between two of them, so that no two start alike. Different here: A is projected, not rectified and divided by its
sum, there is a b_dec, and the encoder starts as w_dec_f / ||w_dec_f||^2, with code 1 for the row itself. `delta` is in
units of sqrt(d_in), because rows there have another norm. A delta of 0 is the archetypal SAE without relaxation.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.centroids import centroids
from husai.saes.codes import Codes, SparseCodes
from husai.saes.config import ArchetypalConfig
from husai.saes.folding import fold_core
from husai.saes.parameters import Parameters, core_shapes, unit_rows
from husai.saes.topk import encode, reconstruction


def shapes(config: ArchetypalConfig, d_in: int) -> Shapes:
    """The core; `mixture` [F, N] and `relaxation` [F, D] that are trained; `centroids` [N, D]."""
    F, N = config.d_sae, config.n_centroids
    return core_shapes(F, d_in) | {"mixture": (F, N), "relaxation": (F, d_in), "centroids": (N, d_in)}


def init(config: ArchetypalConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Centroids of the rows, decoder rows at or between them, nothing relaxed, biases 0.

    Raises:
        UserError: fewer rows than centroids.
    """
    assert rows_ND is not None
    p = {
        "centroids": centroids(rows_ND, config.n_centroids, generator),
        "mixture": _first_mixture(config.d_sae, config.n_centroids, generator),
        "relaxation": torch.zeros(config.d_sae, d_in),
    }
    W_dec = dictionary(p)
    directions = unit_rows(W_dec if config.tied_init else torch.randn(config.d_sae, d_in, generator=generator))
    W_enc = directions / W_dec.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return p | {"W_enc": W_enc, "b_enc": torch.zeros(config.d_sae), "W_dec": W_dec, "b_dec": torch.zeros(d_in)}


def dictionary(p: Parameters) -> Tensor:
    """[F, D] = A C + L. Of copies: they start on a 64-byte boundary, and the matrix library rounds by alignment."""
    return torch.addmm(p["relaxation"].clone(), p["mixture"].clone(), p["centroids"].clone())


def objective(config: ArchetypalConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse` and `aux`, with gradients into A and L."""
    return reconstruction(config, p | {"W_dec": dictionary(p)}, batch)


def follow_(config: ArchetypalConfig, p: Parameters, codes: Codes) -> None:
    """A onto the simplex, L into its ball, W_dec made of both."""
    p["mixture"].copy_(onto_simplex(p["mixture"]))
    L_FD, radius = p["relaxation"], config.delta * p["relaxation"].shape[-1] ** 0.5
    L_FD.mul_((radius / L_FD.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp_max(1))
    p["W_dec"].copy_(dictionary(p))


def onto_simplex(rows_FN: Tensor) -> Tensor:
    """The nearest point of the simplex for each row: relu(row - t), t such that it sums to 1 (Held et al. 1974)."""
    falling_FN = _rising(rows_FN).flip(-1)
    count_N = torch.arange(1, rows_FN.shape[-1] + 1, dtype=rows_FN.dtype)
    t_FN = (falling_FN.cumsum(-1) - 1) / count_N
    last_F1 = ((falling_FN > t_FN).sum(-1, keepdim=True) - 1).clamp_min(0)  # NaN is above nothing
    return (rows_FN - t_FN.gather(-1, last_F1)).relu()


def _rising(rows_FN: Tensor) -> Tensor:
    """Sorted, NaN last; numpy's is some 30 times as fast as torch's on a CPU."""
    if rows_FN.device.type == "cpu":
        return torch.from_numpy(np.sort(rows_FN.numpy(), axis=-1))
    return rows_FN.sort(-1).values


def fold(config: ArchetypalConfig, p: Parameters, mean_D: Tensor, factor: float | Tensor) -> Parameters:
    """The core; centroids and relaxations change as the decoder rows that they make."""
    return fold_core(config, p, mean_D, factor) | {name: p[name] / factor for name in ("centroids", "relaxation")}


def _first_mixture(F: int, N: int, generator: torch.Generator) -> Tensor:
    """[F, N]: centroids in random order, each once; then points between two different ones."""
    turns = -(-F // N)
    first_F = torch.cat([torch.randperm(N, generator=generator) for _ in range(turns)])[:F]
    second_F = (first_F + torch.randint(1, N, (F,), generator=generator)) % N
    share_F = torch.rand(F, generator=generator) / 2 * (torch.arange(F) >= N)
    latents = torch.arange(F)
    A_FN = torch.zeros(F, N)
    A_FN[latents, first_F] = 1 - share_F
    A_FN[latents, second_F] = share_F
    return A_FN


ARCHETYPAL = Architecture(
    summary="TopK with decoder rows in the hull of the data, up to a bounded rest",
    source="arXiv 2502.12892",
    sparse=True,
    knob="k",
    encode=encode,
    objective=objective,
    shapes=shapes,
    init=init,
    after_step_=follow_,
    fold=fold,
    buffers=("W_dec", "centroids"),
    needs_rows=True,
)
