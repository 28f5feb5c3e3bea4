"""What every architecture offers: encode, the terms of its objective, and what is done after a step."""

from __future__ import annotations

from typing import Protocol, TypeVar

import torch
from torch import Tensor

from husai.saes.codes import Codes
from husai.saes.parameters import Parameters

C = TypeVar("C", contravariant=True)
Terms = dict[str, Tensor]


class Architecture(Protocol[C]):
    """Code of one architecture. Parameters are those of one seed; only functions whose name ends in `_` change them."""

    source: str

    def shapes(self, config: C, d_in: int) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of one seed."""
        ...

    def init(self, config: C, d_in: int, generator: torch.Generator) -> Parameters:
        """Parameters of one seed at step 0."""
        ...

    def encode(self, config: C, p: Parameters, x_BD: Tensor) -> Codes:
        """Codes of rows x [B, D]."""
        ...

    def objective(self, config: C, p: Parameters, x_BD: Tensor, dead_F: Tensor) -> tuple[Terms, Codes]:
        """Named loss terms, already weighted, whose sum is minimised; and the codes they were computed from.

        `dead_F` [F] bool says which latents count as dead. Each term is logged apart; none may be counted twice.
        """
        ...

    def constrain_(self, config: C, p: Parameters) -> None:
        """What is enforced after each optimiser step, in place."""
        ...
