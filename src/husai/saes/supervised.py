"""A linear head that reads a label off the codes; with a weight, the label pulls at the codes (0809.3083).

    CE(W, b, f) = mean over labelled rows of -log softmax(W f + b)[label]

    head       = CE(W_head, b_head, no gradient f)               moves the head alone, whatever the weight
    supervised = weight * V * CE(no gradient W_head, b_head; f)  moves what makes the codes, and never the head

with V the variance of the rows, so that a weight means the same on all data. The sum of both has the gradient of the
objective of the source, but for a factor of the head's own, which Adam takes out again: with one CE for both, the head
would learn at a rate that depends on the weight, and at weight 0 not at all. As it is, weight 0 gives the very SAE that
has no head, and a linear probe of its codes that was trained along with it. A batch without labels moves nothing.

`W_head` [C, F] and `b_head` [C] start at zero: they draw no random number that the SAE would then miss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from husai.errors import UserError
from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.codes import Codes
from husai.saes.config import SupervisedConfig
from husai.saes.parameters import Parameters

HEAD = ("W_head", "b_head")
UNLABELLED = -1


def with_head(arch: Architecture[Any]) -> Architecture[Any]:
    """The architecture with the parameters of a head beside its own; what it computes does not know of them."""

    def shapes(config: Any, width: int) -> Shapes:
        return arch.shapes(config, width) | _shapes(config)

    def init(config: Any, width: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
        head = {name: torch.zeros(shape) for name, shape in _shapes(config).items()}
        return arch.init(config, width, generator, rows_ND) | head

    def fold(config: Any, p: Parameters, mean_D: Tensor, factor: float | Tensor) -> Parameters:
        return arch.fold(config, without_head(p), mean_D, factor) | {name: p[name] for name in HEAD}

    return replace(arch, shapes=shapes, init=init, fold=fold)


def without_head(p: Parameters) -> Parameters:
    """The parameters of the SAE alone."""
    return {name: tensor for name, tensor in p.items() if name not in HEAD}


def logits(p: Parameters, f_BF: Tensor) -> Tensor:
    """[B, C]: `W_head f + b_head`."""
    return torch.addmm(p["b_head"], f_BF, p["W_head"].T)


def head_terms(config: SupervisedConfig, p: Parameters, batch: Batch, codes: Codes) -> Terms:
    """`head`, and where the weight is not 0, `supervised`.

    Raises:
        UserError: nobody gave the labels of the rows.
    """
    if batch.labels_B is None:
        raise UserError(f"a head needs the label {config.label} of every row: give `labels_at`")
    f_BF = codes.dense()
    terms = {"head": _loss(p, f_BF.detach(), batch.labels_B)}
    if config.weight:
        held = {name: p[name].detach() for name in HEAD}
        terms["supervised"] = config.weight * batch.variance * _loss(held, f_BF, batch.labels_B)
    return terms


def _loss(p: Parameters, f_BF: Tensor, labels_B: Tensor) -> Tensor:
    """Mean over the labelled rows; 0 where there are none."""
    total = cross_entropy(logits(p, f_BF), labels_B, ignore_index=UNLABELLED, reduction="sum")
    return total / (labels_B != UNLABELLED).sum().clamp_min(1)


def _shapes(config: Any) -> Shapes:
    return {"W_head": (config.supervised.classes, config.d_sae), "b_head": (config.supervised.classes,)}
