"""Coupling `alignment`: each decoder row is drawn to the row of a trained reference that it is most like.

    loss_s = weight * variance * (1 - mean_j max_i |cos(w_sj, r_i)|)

`variance` is that of the scaled rows, so that `weight` means the same on all data. The gradient is written out: a term
computed on detached weights looks the same in a log and moves nothing. Several rows may be drawn to one: see
`assignment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.parameters import Parameters, unit_rows
from husai.training.coupling.cosines import slope
from husai.training.coupling.coupling import OnlyPulls, Pull

ROWS = 4096  # of a dictionary held against the whole reference at once


@dataclass(frozen=True)
class Alignment(OnlyPulls):
    """Rows w [S, F, O] against a reference r [G, O], which stays as it is."""

    reference_GO: Tensor
    weight: float
    variance: float
    name: str = "alignment"

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """Term `alignment` of each seed and the gradient [S, F, O]; seeds do not see each other.

        Raises:
            UserError: the reference has another width than the decoders.
        """
        if self.reference_GO.shape[-1] != W_dec_SFO.shape[-1]:
            widths = f"{self.reference_GO.shape[-1]}, the decoders {W_dec_SFO.shape[-1]}"
            raise UserError(f"the reference of the coupling has rows of width {widths}: take one of the same hook")
        reference_GO = unit_rows(self.reference_GO)
        pulled = [self._of_seed(W_FO, reference_GO) for W_FO in W_dec_SFO]
        terms = [{self.name: term} for term, _ in pulled]
        return terms, torch.stack([gradient for _, gradient in pulled]) if self.weight else None

    def says(self) -> str:
        """Agreement inside a group rises by construction: one published run reached .9986 by copying its reference."""
        return (
            "coupling alignment: every seed is drawn to one reference, so that agreement between these seeds is partly "
            "put in, not found: what decides is stability between groups with references of their own"
        )

    def _of_seed(self, W_FO: Tensor, reference_GO: Tensor) -> tuple[Tensor, Tensor]:
        scale, parts = self.weight * self.variance, [_nearest(W, reference_GO) for W in W_FO.split(ROWS)]
        cosine_F, nearest_FO = (torch.cat(part) for part in zip(*parts, strict=True))
        return scale * (1 - cosine_F.mean()), -scale / len(W_FO) * slope(W_FO, nearest_FO, cosine_F)


def _nearest(W_FO: Tensor, reference_GO: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row the largest |cosine| and the reference row that has it, turned to the row's side."""
    cosines_FG = unit_rows(W_FO) @ reference_GO.T
    best_F = cosines_FG.abs().argmax(dim=-1, keepdim=True)
    signed_F1 = cosines_FG.gather(-1, best_F)
    return signed_F1.abs().squeeze(-1), reference_GO[best_F.squeeze(-1)] * signed_F1.sign()
