"""Which latents count as dead while training: those that did not fire within the last `dead_after` rows."""

from __future__ import annotations

import torch
from torch import Tensor


def dead_mask(last_fired_F: Tensor, rows_seen: int, dead_after: int) -> Tensor:
    """[F] bool."""
    return (rows_seen - last_fired_F) >= dead_after


def update_(last_fired_F: Tensor, fired_F: Tensor, rows_seen: int) -> None:
    """Note at `rows_seen` which latents fired, in place."""
    last_fired_F.copy_(torch.where(fired_F, torch.as_tensor(rows_seen), last_fired_F))
