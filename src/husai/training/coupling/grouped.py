"""Groups of seeds, each with a coupling of its own. Nothing crosses groups: no term, no gradient, nothing held.

Agreement inside a group is put in; what is found is the agreement between groups, and it is worth something only as
long as no group knows of another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from husai.saes.parameters import Parameters
from husai.training.coupling.coupling import Coupling, Pull


@dataclass(frozen=True)
class Grouped:
    """Of S seeds, `size` consecutive ones are a group; group g is tied by `parts[g]`."""

    parts: tuple[Coupling, ...]
    size: int

    @property
    def name(self) -> str:
        """That of the parts."""
        return self.parts[0].name

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """Each part sees the decoders of its own seeds, as if there were no others."""
        terms: list[dict[str, Tensor]] = []
        kept: list[Parameters] = []
        gradients: list[Tensor] = []
        for number, part in enumerate(self.parts):
            at = self._seeds(number)
            mine = {name: tensor[at] for name, tensor in held.items()}
            found, gradient_SFO = part.pull(step, W_dec_SFO[at], mine)
            terms += found
            kept.append(mine)
            gradients += [] if gradient_SFO is None else [gradient_SFO]
        held.update({name: torch.cat([mine[name] for mine in kept]) for name in kept[0]})
        return terms, torch.cat(gradients) if gradients else None

    def start_(self, p_S: Parameters) -> None:
        """Of each group what its part puts in."""
        for number, part in enumerate(self.parts):
            part.start_({name: tensor[self._seeds(number)] for name, tensor in p_S.items()})

    def still(self, place: int) -> Tensor | None:
        """What the part of the seed's group does not move."""
        return self.parts[place // self.size].still(place % self.size)

    def drop_(self, place: int, grads: Parameters) -> None:
        """What the part of the seed's group drops."""
        self.parts[place // self.size].drop_(place % self.size, grads)

    def hold_(self, place: int, p: Parameters) -> None:
        """What the part of the seed's group keeps."""
        self.parts[place // self.size].hold_(place % self.size, p)

    def says(self) -> str:
        """What the parts say, and which number decides here."""
        return (
            f"{self.parts[0].says()}; here {len(self.parts)} groups of {self.size} seeds, and "
            "mcc_signed.between_groups decides"
        )

    def _seeds(self, number: int) -> slice:
        return slice(number * self.size, (number + 1) * self.size)
