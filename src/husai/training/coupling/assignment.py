"""Coupling `assignment`: decoder rows and the rows of a trained reference are paired one to one, and drawn together.

    loss_s = weight * variance * (1 - mean_j cos(w_sj, r_pi(j)))      pi = the matching of the largest summed cosine

The cosine is signed, as in `mcc_signed`. pi is found anew every `every` steps and held in between, in the training's
state: whoever goes on from a checkpoint goes on with the same pi. Unlike `alignment` no two rows are drawn to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from husai.saes.parameters import Parameters, unit_rows
from husai.training.coupling.cosines import partners, toward
from husai.training.coupling.coupling import OnlyPulls, Pull

PARTNER = "partner"  # held [S, F] int64: of each row the row of the reference


@dataclass(frozen=True)
class Assignment(OnlyPulls):
    """Rows w [S, F, O] against a reference r [F, O], which stays as it is."""

    reference_FO: Tensor
    weight: float
    variance: float
    every: int = 50
    name: str = "assignment"

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """Term `assignment` of each seed and the gradient [S, F, O]; seeds do not see each other."""
        if step % self.every == 0:
            held[PARTNER] = torch.stack([partners(W_FO, self.reference_FO) for W_FO in W_dec_SFO])
        reference_FO = unit_rows(self.reference_FO)
        scale, F = self.weight * self.variance, W_dec_SFO.shape[1]
        pulled = [
            toward(W_FO, reference_FO[partner_F]) for W_FO, partner_F in zip(W_dec_SFO, held[PARTNER], strict=True)
        ]
        terms = [{self.name: scale * (1 - cosine_F.mean())} for cosine_F, _ in pulled]
        return terms, torch.stack([-scale / F * slope_FO for _, slope_FO in pulled]) if self.weight else None

    def says(self) -> str:
        """Agreement inside a group rises by construction."""
        return (
            "coupling assignment: every seed is drawn to one reference, row by row, so that agreement between these "
            "seeds is partly put in, not found: what decides is stability between groups with references of their own"
        )
