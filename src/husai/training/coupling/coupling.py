"""What ties seeds together: terms and gradients from the decoders of all seeds, and what they share and keep."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from husai.saes.parameters import Parameters


class Coupling(Protocol):
    """Objective over W_dec [S, F, O] of all seeds; it may keep a reference or an assignment between steps."""

    @property
    def name(self) -> str:
        """As in a config."""
        ...

    @property
    def why_reference(self) -> str:
        """Why only the engine `reference` computes it."""
        ...

    def pull(self, step: int, W_dec_SFO: Tensor) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Weighted loss terms of each seed, and the gradient [S, F, O] of their sum."""
        ...

    def start_(self, p_S: Parameters) -> None:
        """Put into the parameters of all seeds at step 0, in place, what they are to share."""
        ...

    def drop_(self, grads: Parameters) -> None:
        """Set to zero, in place, the gradients of one seed that must not move anything."""
        ...

    def hold_(self, p: Parameters) -> None:
        """After a step put back, in place, what one seed must keep."""
        ...

    def says(self) -> str:
        """What must be said beside the agreement of seeds that were trained with it."""
        ...
