"""Coupling `joint`: the seeds of a group are trained to agree with each other; there is no reference.

    loss_s = weight * variance * (1 - mean over pairs s < t of mean_f cos(w_sf, w_t,pi_st(f)))

It is one number for the whole group, and stands in the loss of each of its n seeds. The gradient is that of the sum of
these losses and reaches every row of every seed, from both ends of each pair: on seed s it is `2 weight * variance`
times the mean over the others t of `- d/dw_s mean_f cos(w_sf, w_t,pi_st(f))`, however many there are. pi_st is the
matching of the largest summed cosine; it is found anew every `every` steps and held in between, in the training's
state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.parameters import Parameters, unit_rows
from husai.training.coupling.cosines import partners, toward
from husai.training.coupling.coupling import OnlyPulls, Pull

PARTNERS = "partners"  # held [S, n, F] int64: of each row of each seed the row in each seed of its group


@dataclass(frozen=True)
class Joint(OnlyPulls):
    """The rows w [n, F, O] of the seeds of one group, against each other."""

    weight: float
    variance: float
    every: int = 50
    name: str = "joint"

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """Term `joint`, the same for each seed, and the gradient [n, F, O].

        Raises:
            UserError: one seed has nobody to agree with.
        """
        n, F, _ = W_dec_SFO.shape
        if n < 2:
            raise UserError("the coupling joint needs at least two seeds in a group: set group_size")
        if step % self.every == 0:
            held[PARTNERS] = _all_partners(W_dec_SFO)
        units = [unit_rows(W_FO) for W_FO in W_dec_SFO]
        pulled = [toward(W, _drawn_to(units, s, held[PARTNERS][s])) for s, W in enumerate(W_dec_SFO)]
        agreement = torch.stack([cosine_F.mean() for cosine_F, _ in pulled]).sum() / (n * (n - 1))
        scale = self.weight * self.variance
        terms = [{self.name: scale * (1 - agreement)} for _ in pulled]
        slopes_SFO = torch.stack([slope_FO for _, slope_FO in pulled])
        return terms, -2 * scale / (F * (n - 1)) * slopes_SFO if self.weight else None

    def says(self) -> str:
        """Agreement inside a group rises by construction."""
        return (
            "coupling joint: the seeds of a group are drawn to each other, so that agreement between them is partly "
            "put in, not found: what decides is stability between groups that were trained apart"
        )


def _all_partners(W_SFO: Tensor) -> Tensor:
    """[n, n, F]; a seed's own rows are their own partners. Each pair is solved once."""
    n, F, _ = W_SFO.shape
    found = torch.arange(F).repeat(n, n, 1)
    for s in range(n):
        for t in range(s + 1, n):
            found[s, t] = partners(W_SFO[s], W_SFO[t])
            found[t, s] = found[s, t].argsort()
    return found


def _drawn_to(units: list[Tensor], s: int, partners_SF: Tensor) -> Tensor:
    """[F, O]: of each row of seed s the sum of its partners in all other seeds."""
    others = [unit_FO[partners_SF[t]] for t, unit_FO in enumerate(units) if t != s]
    return torch.stack(others).sum(0)
