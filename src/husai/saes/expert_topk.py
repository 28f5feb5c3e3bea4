"""Routed SAE, mode `expert_topk` of the seed experiments: the k largest among the latents of a row's experts.

    A = the `active_experts` experts of largest p;   f = p_expert(f) * the k largest of relu(pre) within A

`router.py` has p, pre, the loss and what is shared. The record of those experiments (d_sae 1,024 and 2,048, k 32 and
48, 4 and 8 experts; L0 = k) does not give A: 1 is assumed. There the router had no gradient from the reconstruction and
was left out at evaluation; here codes carry its probability, in training and after it. With `active_experts = 1` it is
the Switch SAE (`switch.py`), which runs on the code below.

Latents are compared by relu(pre) and not by what p makes of it: an expert's share of the k is not decided twice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.config import Routed
from husai.saes.router import Routes, routed
from husai.saes.select import largest


def within_experts(config: Routed, positive_BF: Tensor, routes: Routes) -> Tensor:
    """The k largest of each row among the latents of its experts; ties to the lowest index."""
    open_BF = routes.chosen_BE.repeat_interleave(config.d_sae // config.experts, dim=1)
    return largest(positive_BF.masked_fill(~open_BF, -torch.inf), config.k)


EXPERT_TOPK = routed(
    "the k largest pre-activations among the latents of a row's experts",
    "mode expert_topk of the seed experiments; with one expert per row arXiv 2410.08201",
    within_experts,
)
