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

import torch
from torch import Tensor
from torch.nn.functional import embedding

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import keep_largest
from husai.saes.codes import Codes, SparseCodes, decode
from husai.saes.config import MatchingPursuitConfig
from husai.saes.parameters import Parameters, after_step_, squared_error


def pursue(x_BD: Tensor, look_FD: Tensor, take_FD: Tensor, k: int) -> SparseCodes:
    """Codes of k steps: products with rows of `look`, of which so much of the rows of `take` is taken away."""
    left_BD, values, indices = x_BD, [], []
    for _ in range(k):
        index_B = (left_BD.detach() @ look_FD.detach().T).argmax(-1)
        # The gradient of an embedding is summed by the owner of a row, in the order of the batch.
        value_B = (left_BD * embedding(index_B, look_FD)).sum(-1).relu()
        left_BD = left_BD - value_B[:, None] * embedding(index_B, take_FD)
        values.append(value_B)
        indices.append(index_B)
    empty_BF = x_BD.new_zeros(len(x_BD), len(look_FD))
    dense_BF = empty_BF.scatter_add(-1, torch.stack(indices, -1), torch.stack(values, -1))
    return keep_largest(dense_BF, k)  # of an index that was chosen twice there is one


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
