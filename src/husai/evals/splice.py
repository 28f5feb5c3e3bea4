"""What the model loses when a reconstruction takes the place of its activations.

Cross-entropy increase in nats and KL(p || q), p = clean logits, q = with the replacement, at the read position; against
three references: zero ablation, mean ablation, and an SAE of the same k with a frozen random decoder. Ratios to zero
ablation alone saturate (a frozen random decoder scored .84 there where a trained one scored .985), so the frozen
decoder is the zero point of `recovered`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from husai.models.hooks import patch
from husai.models.transformer import Transformer
from husai.tasks.task import Task

Replace = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Spliced:
    """Means over `n` rows: cross-entropy in nats, KL in nats, answer accuracy."""

    cross_entropy: float
    kl: float
    accuracy: float
    n: int


def _read_logits(model: Transformer, tokens: Tensor, position: int) -> Tensor:
    return model(tokens)[:, position].double()


@torch.no_grad()
def spliced(model: Transformer, task: Task, rows: np.ndarray, hook_name: str, replace: Replace | None) -> Spliced:
    """Run the model on the task's `rows` with `replace` applied at the read position of `hook_name`.

    `replace` maps activations [B, D] to [B, D]; None is the clean model.
    """
    ce = kl = right = 0.0
    position = task.read_position

    def edit(x_BTD: Tensor) -> Tensor:
        changed = x_BTD.clone()
        changed[:, position] = replace(x_BTD[:, position]) if replace is not None else x_BTD[:, position]
        return changed

    for first in range(0, len(rows), 2048):
        part = rows[first : first + 2048]
        tokens, labels = torch.from_numpy(task.tokens_NT[part]), torch.from_numpy(task.labels_N[part])
        clean = _read_logits(model, tokens, position).log_softmax(-1)
        with patch(model, {hook_name: edit}):
            changed = _read_logits(model, tokens, position).log_softmax(-1)
        ce -= float(changed.gather(1, labels[:, None]).sum())
        kl += float((clean.exp() * (clean - changed)).sum())
        right += float((changed.argmax(-1) == labels).sum())
    n = len(rows)
    return Spliced(ce / n, kl / n, right / n, n)


def zero_ablation(x_BD: Tensor) -> Tensor:
    """Everything removed."""
    return torch.zeros_like(x_BD)


def mean_ablation(mean_D: Tensor) -> Replace:
    """Everything replaced by the mean of the activations."""
    return lambda x_BD: mean_D.expand_as(x_BD)


def recovered(value: float, clean: float, reference: float) -> float | None:
    """`(reference - value) / (reference - clean)`: 1 = as good as clean, 0 = as bad as the reference.

    None when the reference is no worse than clean, so that the ratio means nothing.
    """
    gap = reference - clean
    return (reference - value) / gap if gap > 1e-9 else None
