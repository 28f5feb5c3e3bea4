"""MP-SAE (2506.03093): matching pursuit as the encoder of a tied dictionary of unit rows.

    r = x - b_dec;   k times: j = argmax_j w_j . r,  c = relu(w_j . r),  f_j += c,  r -= c w_j
    x_hat = f W_dec + b_dec;   loss = mean_b ||x - x_hat||^2

The gradient runs through all k steps, but not through the choice. As in the code of the source the largest *signed*
product is chosen, not the largest absolute one of classical pursuit, so that a latent means one direction, as in TopK.
There a coefficient is negative when no latent points along what is left; here relu stops the pursuit instead. A
latent may be chosen more than once; its coefficients add up, so that a row has at most k latents.

`W_enc` is a buffer that is set to W_dec after each step, and `b_enc` one that stays 0. Training pursues with W_dec, use
with W_enc and steps of `w_j / ||w_j||^2`, which is the same while rows have norm 1. So scaling can be folded in as
everywhere, and a control that replaces W_dec keeps the codes, as everywhere. There is no AuxK, which needs
pre-activations: a pursuit has none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import keep_largest
from husai.saes.codes import Codes, SparseCodes, decode
from husai.saes.config import MatchingPursuitConfig
from husai.saes.parameters import Parameters, after_step_, squared_error

LARGEST_GRAM = 8192  # latents whose products with each other are kept


def pursue(x_BD: Tensor, look_FD: Tensor, take_FD: Tensor, k: int) -> SparseCodes:
    """Codes of k steps: products with rows of `look`, of which so much of the rows of `take` is taken away."""
    B, F = len(x_BD), len(look_FD)
    # One product of F x F in place of k of B x F, where that is less.
    way = by_products if min(k * B, LARGEST_GRAM) >= F else step_by_step
    values_BK, indices_BK = way(x_BD, look_FD, take_FD, k)
    dense_BF = x_BD.new_zeros(B, F).scatter_add(-1, indices_BK, values_BK)
    return keep_largest(dense_BF, k)  # of an index that was chosen twice there is one


def step_by_step(x_BD: Tensor, look_FD: Tensor, take_FD: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and indices [B, K] as the pursuit is defined: what is left, and products with it, in every step."""
    left_BD, values, indices = x_BD, [], []
    for _ in range(k):
        index_B = (left_BD.detach() @ look_FD.detach().T).argmax(-1)
        # The gradient of an embedding is summed by the owner of a row, in the order of the batch.
        value_B = (left_BD * embedding(index_B, look_FD)).sum(-1).relu()
        left_BD = left_BD - value_B[:, None] * embedding(index_B, take_FD)
        values.append(value_B)
        indices.append(index_B)
    return torch.stack(values, -1), torch.stack(indices, -1)


def by_products(x_BD: Tensor, look_FD: Tensor, take_FD: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The same from products with x and of latents with each other, of which there is one each.

    What a step takes away changes every product by a multiple of a row of the latter. Once the indices j are known,

        c_t + sum_{s < t} (look_{j_t} . take_{j_s}) c_s = look_{j_t} . x      for steps t that gave anything

    is a triangular system (c_t = 0 for the others); the gradient through its solution is that through the steps.
    """
    product_BF, gram_FF = x_BD @ look_FD.T, take_FD @ look_FD.T
    indices_BK, gave_BK = _chosen(product_BF.detach().clone(), gram_FF.detach(), k)
    pairs_BKK = indices_BK[:, None, :] * len(gram_FF) + indices_BK[:, :, None]  # of a step, with the one that takes
    before_KK = torch.ones(k, k, dtype=x_BD.dtype, device=x_BD.device).tril(-1)
    overlaps_BKK = gram_FF.flatten().gather(0, pairs_BKK.flatten()).view(pairs_BKK.shape)
    system_BKK = overlaps_BKK * (before_KK * gave_BK[..., None])
    wanted_BK = product_BF.gather(1, indices_BK) * gave_BK
    return _Solved.apply(system_BKK, wanted_BK[..., None]).squeeze(-1), indices_BK


class _Solved(torch.autograd.Function):
    """Solution [B, K, 1] of unit lower triangular systems [B, K, K].

    The gradient is that of torch but for entries that the caller has masked, which torch clears at great cost.
    """

    @staticmethod
    def forward(ctx: Any, system_BKK: Tensor, wanted_BK1: Tensor) -> Tensor:
        """Solve."""
        values_BK1 = torch.linalg.solve_triangular(system_BKK, wanted_BK1, upper=False, unitriangular=True)
        ctx.save_for_backward(system_BKK, values_BK1)
        return values_BK1

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """u = A^-T g for the right side, -u c^T for the system."""
        system_BKK, values_BK1 = ctx.saved_tensors
        u_BK1 = torch.linalg.solve_triangular(system_BKK.mT, grads[0], upper=True, unitriangular=True)
        return -u_BK1 * values_BK1.mT, u_BK1


def _chosen(product_BF: Tensor, gram_FF: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Indices of k steps, and whether each gave anything; `product_BF` is used up."""
    indices, gave = [], []
    for _ in range(k):
        index_B = torch.from_numpy(product_BF.cpu().numpy().argmax(-1)).to(product_BF.device)
        value_B1 = product_BF.gather(1, index_B[:, None]).relu_()
        product_BF.sub_(gram_FF.index_select(0, index_B).mul_(value_B1))
        indices.append(index_B)
        gave.append(value_B1[:, 0] > 0)
    return torch.stack(indices, -1), torch.stack(gave, -1)


def encode(config: MatchingPursuitConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """At most k latents per row, with rows of W_enc of any norm."""
    W_FD = p["W_enc"]
    return pursue(x_BD - p["b_dec"], W_FD, W_FD / W_FD.square().sum(-1, keepdim=True).clamp_min(1e-30), config.k)


def objective(config: MatchingPursuitConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse`."""
    codes = pursue(batch.x_BD - p["b_dec"], p["W_dec"], p["W_dec"], config.k)
    return {"mse": squared_error(batch.y_BO, decode(codes, p["W_dec"], p["b_dec"]))}, codes


def follow_(config: MatchingPursuitConfig, p: Parameters, codes: Codes) -> None:
    """Unit rows, in the decoder and in its copy; rows that are frozen keep every bit."""
    if config.freeze == "none":
        after_step_(config.decoder_norm, p)
        p["W_enc"].copy_(p["W_dec"])


MATCHING_PURSUIT = Architecture(
    summary="k steps of matching pursuit with a tied dictionary",
    source="arXiv 2506.03093",
    sparse=True,
    knob="k",
    encode=encode,
    objective=objective,
    after_step_=follow_,
    buffers=("W_enc", "b_enc"),
)
