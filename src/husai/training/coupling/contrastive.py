"""Coupling `contrastive`: the seeds of a group share anchors; each seed turns a latent to every anchor, and away from
the other anchors.

    loss_s = - weight * variance * mean_a log( exp(cos(w_j(a), a) / tau) / sum_b exp(cos(w_j(a), b) / tau) )

(InfoNCE: van den Oord et al. 2018, 1807.03748.) The A anchors are training rows, centred and divided by their norm.
j(a) is the latent whose decoder row has the largest cosine with anchor a; it is looked for at every step. Several
anchors may have the same latent. The term does not go to zero: anchors that are alike cannot be told from each other.
At a low temperature it draws little: it is content once an anchor is told from the others.

Groups have anchors of their own, no row in two of them: anchors that all groups shared would tie the groups together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from husai.saes.parameters import Parameters, unit_rows
from husai.training.coupling.coupling import OnlyPulls, Pull


@dataclass(frozen=True)
class Contrastive(OnlyPulls):
    """Rows w [S, F, O] against unit anchors [A, O], which stay as they are."""

    anchors_AO: Tensor
    weight: float
    variance: float
    temperature: float = 0.3
    name: str = "contrastive"

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """Term `contrastive` of each seed and the gradient [S, F, O]; seeds do not see each other."""
        pulled = [self._of_seed(W_FO) for W_FO in W_dec_SFO]
        terms = [{self.name: term} for term, _ in pulled]
        return terms, torch.stack([gradient_FO for _, gradient_FO in pulled]) if self.weight else None

    def says(self) -> str:
        """Agreement inside a group rises by construction; between groups that shared anchors it would, too."""
        return (
            f"coupling contrastive: the seeds of a group are drawn to {len(self.anchors_AO)} anchors that they share, "
            "so that agreement between them is partly put in, not found: what decides is stability between groups with "
            "anchors of their own (anchors that groups shared would tie the groups, like a shared initialisation)"
        )

    def _of_seed(self, W_FO: Tensor) -> tuple[Tensor, Tensor]:
        scale, anchors_AO, A = self.weight * self.variance, self.anchors_AO, len(self.anchors_AO)
        unit_FO, norm_F1 = unit_rows(W_FO), W_FO.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        latent_A = (anchors_AO @ unit_FO.T).argmax(-1)
        log_share_AA = (unit_FO[latent_A] @ anchors_AO.T / self.temperature).log_softmax(-1)
        away_AA = log_share_AA.exp()
        away_AA.diagonal().sub_(1)
        onto_FO = torch.zeros_like(W_FO).index_add_(0, latent_A, away_AA @ anchors_AO / (A * self.temperature))
        across_FO = onto_FO - (onto_FO * unit_FO).sum(-1, keepdim=True) * unit_FO
        return -scale * log_share_AA.diagonal().mean(), scale * across_FO / norm_F1
