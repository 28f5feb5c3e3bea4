"""What ties seeds together: terms and gradients from the decoders of all seeds, and what they share and keep."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from husai.saes.parameters import Parameters

Pull = tuple[list[dict[str, Tensor]], Tensor | None]


class Coupling(Protocol):
    """Objective over W_dec [S, F, O] of all seeds.

    It has no state of its own: what it keeps between steps, such as a matching, lies in the training's state (`held`,
    tensors with a leading seed axis), and goes where the state goes, into checkpoints and from trunk to branch.
    """

    @property
    def name(self) -> str:
        """As in a config."""
        ...

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """Weighted loss terms of each seed, and the gradient [S, F, O] of their sum; None where nothing is drawn."""
        ...

    def start_(self, p_S: Parameters) -> None:
        """Put into the parameters of all seeds at step 0, in place, what they are to share."""
        ...

    def still(self, place: int) -> Tensor | None:
        """Latents [F], as bool, of the seed at a place of the stack that no step moves; None where all move.

        An engine leaves what they have of their own as it is, which is what the two below do to them one by one.
        """
        ...

    def drop_(self, place: int, grads: Parameters) -> None:
        """Set to zero, in place, the gradients that must not move the seed at a place of the stack."""
        ...

    def hold_(self, place: int, p: Parameters) -> None:
        """After a step put back, in place, what the seed at a place of the stack must keep."""
        ...

    def says(self) -> str:
        """What must be said beside the agreement of seeds that were trained with it."""
        ...


class OnlyPulls:
    """What a coupling does that has loss terms, and nothing else."""

    def start_(self, p_S: Parameters) -> None:
        """Seeds start as they would without it."""

    def still(self, place: int) -> Tensor | None:
        """None: all move."""
        return None

    def drop_(self, place: int, grads: Parameters) -> None:
        """Everything moves."""

    def hold_(self, place: int, p: Parameters) -> None:
        """Nothing is kept."""
