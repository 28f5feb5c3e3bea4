"""Coupling `pinning`: a part of the latents are copies of a trained reference, and stay so, encoder and decoder.

    at step 0     theta_f <- theta_f of the reference   for pinned f and every parameter that latent f has of its own
    every step    no gradient moves them, and what follows a step (norms of rows, adapted biases) is undone for them

A published "pinning" copied decoder rows alone: they were read by the random encoder rows that stood there, and the
explained variance fell below that of the mean predictor (-.10). So rows are pinned with all that reads them: encoder
rows, biases, gates and thresholds. `b_dec`, which belongs to no latent, starts at the reference's and is trained.

The pinned latents are drawn at random, alive or not, and are the same in every seed of a group, in the places that they
have in the reference: a place means something where dictionaries are nested or divided into groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from husai.errors import Refused
from husai.saes.architecture import Architecture
from husai.saes.controls import torch_generator
from husai.saes.parameters import Parameters
from husai.saes.sae import SAE
from husai.seeds import Role
from husai.training.coupling.coupling import Pull


@dataclass(frozen=True)
class Pinning:
    """Latents `pinned_F` (bool) of one SAE's parameters; `names` are the parameters that latents have of their own."""

    reference: Parameters
    pinned_F: Tensor
    names: tuple[str, ...]
    name: str = "pinning"

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """No terms: nothing is drawn anywhere."""
        return [{} for _ in W_dec_SFO], None

    def start_(self, p_S: Parameters) -> None:
        """Copy the pinned latents into every seed, and let every b_dec begin where theirs ended."""
        for name in self.names:
            p_S[name][:, self.pinned_F] = self.reference[name][self.pinned_F]
        p_S["b_dec"].copy_(self.reference["b_dec"].expand_as(p_S["b_dec"]))

    def still(self, place: int) -> Tensor | None:
        """The pinned ones."""
        return self.pinned_F

    def drop_(self, place: int, grads: Parameters) -> None:
        """No gradient of the loss moves a pinned latent."""
        for name in self.names:
            pinned = self.pinned_F.view(-1, *[1] * (grads[name].dim() - 1))
            grads[name] = grads[name].masked_fill(pinned, 0.0)

    def hold_(self, place: int, p: Parameters) -> None:
        """Undo what follows a step: dividing a unit row by its norm may still change its last bits."""
        for name in self.names:
            p[name][self.pinned_F] = self.reference[name][self.pinned_F]

    def says(self) -> str:
        """How much of the agreement of these seeds was put in."""
        return (
            f"coupling pinning: {int(self.pinned_F.sum())} of {len(self.pinned_F)} latents are copies of one reference "
            "in every seed, so that agreement between these seeds is partly put in, not found: what decides is "
            "stability between groups with references of their own"
        )


def pinning(
    config: Any, arch: Architecture[Any], reference: SAE, fraction: float, root: int, group: int = 0
) -> Pinning:
    """Pin a fraction of the latents of a reference that is of the same architecture and size; groups pin their own.

    Raises:
        Refused: what a latent of this architecture reads or writes is not its own.
    """
    if not arch.per_latent or not arch.trained or "W_dec" in arch.buffers:
        raise Refused(f"{config.kind} cannot be pinned: what its latents read or write is not their own")
    of_group = (group,) if group else ()  # seeds that are not divided are group 0
    generator = torch_generator(root, Role.AUXILIARY, "pinning", *of_group)
    pinned_F = torch.zeros(config.d_sae, dtype=torch.bool)
    pinned_F[torch.randperm(config.d_sae, generator=generator)[: max(1, round(fraction * config.d_sae))]] = True
    names = tuple(name for name in arch.per_latent if name in reference.parameters)
    return Pinning(reference.parameters, pinned_F, names)
