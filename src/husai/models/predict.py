"""The model's answers to many token rows: batches of a fixed size, no gradients."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

ROWS = 4096  # per batch; fixed, so that the bits of a result do not depend on who asks


class Answering(Protocol):
    """Anything that answers at one position, as `Transformer.answer` does."""

    def answer(self, tokens_BT: Tensor, position: int) -> Tensor:
        """Logits [B, V]."""
        ...


def answer_logits(model: Answering, tokens_NT: np.ndarray, position: int) -> Tensor:
    """Logits [N, V] at `position`, on the device of the model."""
    device = _device(model)
    with torch.no_grad():
        batches = [torch.tensor(tokens_NT[i : i + ROWS], device=device) for i in range(0, len(tokens_NT), ROWS)]
        return torch.cat([model.answer(tokens_BT, position) for tokens_BT in batches])


def answers(model: Answering, tokens_NT: np.ndarray, position: int) -> np.ndarray:
    """Class [N] with the largest logit at `position`; ties go to the lowest."""
    return answer_logits(model, tokens_NT, position).argmax(-1).cpu().numpy()


def _device(model: Answering) -> torch.device:
    parameter = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device
