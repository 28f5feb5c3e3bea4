"""Controls that train only a part (2602.14111): frozen decoder, soft-frozen (cosine to start >= .8), frozen encoder."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from husai.saes.config import Freeze
from husai.saes.parameters import Parameters, unit_rows
from husai.saes.supervised import HEAD

SOFT_COSINE = 0.8


def drop_frozen_(freeze: Freeze, buffers: Collection[str], grads: Parameters) -> None:
    """Set the gradients of frozen parameters and of buffers to zero, in place.

    A frozen encoder is everything but the decoder, and a head, which is no part of the SAE.
    """
    held = {"decoder": {"W_dec"}, "encoder": grads.keys() - {"W_dec", "b_dec", *HEAD}}.get(freeze, set())
    for name in {*held, *buffers}:
        grads[name] = torch.zeros_like(grads[name])


def hold_near_start_(W_dec_FO: Tensor, start_FO: Tensor) -> None:
    """Turn each row that has left the cone of cosine .8 around its start back onto it; norms are kept."""
    norm = W_dec_FO.norm(dim=-1, keepdim=True)
    unit, axis = unit_rows(W_dec_FO), unit_rows(start_FO)
    cosine = (unit * axis).sum(-1, keepdim=True)
    side = unit_rows(unit - cosine * axis)
    cone = SOFT_COSINE * axis + (1 - SOFT_COSINE**2) ** 0.5 * side
    W_dec_FO.copy_(torch.where(cosine < SOFT_COSINE, cone * norm, W_dec_FO))
