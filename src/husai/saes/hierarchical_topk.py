"""HierarchicalTopK SAE (2505.24473): one dictionary for every k' <= k.

    f = the k largest of relu(pre), by value;   x_hat_{k'} = the k' first of them times W_dec, + b_dec
    loss = mean_b ||x - x_hat_k||^2 + sum over k' of `levels` of mean_b ||x - x_hat_{k'}||^2 + AuxK (see `aux.py`)

The terms are `mse`, which is that of level k as in TopK, and `mse_levels`. The source takes the mean over all levels,
k among them: what is minimised here is its loss times 1 + len(levels), which is k where every level counts. Beside it
AuxK and decorrelation weigh less by that factor than beside a mean. To use fewer latents later, lower `k`.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import aux_term, keep_largest
from husai.saes.codes import SparseCodes
from husai.saes.config import HierarchicalTopKConfig
from husai.saes.parameters import Parameters, pre_activations, squared_error


def encode(config: HierarchicalTopKConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """The k largest of relu(pre) in each row, by value."""
    return by_value(keep_largest(pre_activations(p, x_BD, config.subtract_b_dec).relu(), config.k))


def by_value(codes: SparseCodes) -> SparseCodes:
    """The same codes, the largest first, so that the first k' are the k' largest; ties to the lowest index."""
    values_BK, order_BK = codes.values_BK.sort(dim=-1, descending=True, stable=True)
    return SparseCodes(values_BK, codes.indices_BK.gather(-1, order_BK), codes.d_sae)


def objective(config: HierarchicalTopKConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse`, `mse_levels` where there are smaller levels, and `aux`."""
    pre = pre_activations(p, batch.x_BD, config.subtract_b_dec)
    codes = by_value(keep_largest(pre.relu(), config.k))
    *smaller, x_hat = at_levels(p, codes, (*config.smaller, config.k))
    terms = {"mse": squared_error(batch.y_BO, x_hat)}
    if smaller:
        terms["mse_levels"] = torch.stack([squared_error(batch.y_BO, at) for at in smaller]).sum()
    return terms | aux_term(config, p, batch, pre, x_hat), codes


def at_levels(p: Parameters, codes: SparseCodes, levels: tuple[int, ...]) -> list[Tensor]:
    """Reconstructions [B, O] from the first n of the codes, for each n of the rising `levels`; the last is K."""
    B, K = codes.values_BK.shape
    starts_L = torch.tensor((0, *levels[:-1]), device=codes.values_BK.device)
    bags = (torch.arange(B, device=starts_L.device)[:, None] * K + starts_L).flatten()
    # The gradient of an embedding is summed by the owner of a row, in the order of the batch.
    values, indices = codes.values_BK.flatten(), codes.indices_BK.flatten()
    between = embedding_bag(indices, p["W_dec"], bags, mode="sum", per_sample_weights=values)
    return list(accumulate(between.view(B, len(levels), -1).unbind(1), initial=p["b_dec"]))[1:]


HIERARCHICAL_TOPK = Architecture(
    summary="TopK trained so that its k' largest reconstruct on their own, for every k' up to k",
    source="arXiv 2505.24473",
    sparse=True,
    knob="k",
    encode=encode,
    objective=objective,
)
