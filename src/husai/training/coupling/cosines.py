"""Cosines of decoder rows with what draws them, and their slopes, written out.

d cos(w, r) / dw = (r - cos(w, r) w / |w|) / |w|      for unit r; linear in r, hence for sums of them as well
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.parameters import unit_rows
from husai.stability.matching import match_rows
from husai.stability.rows import directions


def slope(W_FO: Tensor, target_FO: Tensor, cosine_F: Tensor) -> Tensor:
    """Gradient [F, O] of the cosine of each row with its target; for a sum of targets, of the sum of the cosines."""
    norm_F1 = W_FO.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return (target_FO - cosine_F[:, None] * W_FO / norm_F1) / norm_F1


def toward(W_FO: Tensor, target_FO: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine of each row with its target [F], summed where the target is a sum, and its gradient [F, O]."""
    cosine_F = (unit_rows(W_FO) * target_FO).sum(-1)
    return cosine_F, slope(W_FO, target_FO, cosine_F)


def partners(W_FO: Tensor, others_FO: Tensor) -> Tensor:
    """Of each row the other row [F] that the one-to-one matching of the largest summed cosine gives it.

    Solved from nothing each time: to find the prices of the last solution takes longer than to solve.

    Raises:
        UserError: a row is not finite.
    """
    if not (W_FO.isfinite().all() and others_FO.isfinite().all()):
        raise UserError("a decoder row that is to be matched is not finite: lower the learning rate (training.lr)")
    found = match_rows(directions(W_FO.numpy()), directions(others_FO.numpy()))
    return torch.from_numpy(found.partner().astype(np.int64))
