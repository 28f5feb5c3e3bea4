"""What ties seeds together: terms and gradients from the decoders of all seeds."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Coupling(Protocol):
    """Objective over W_dec [S, F, O] of all seeds; it may keep a reference or an assignment between steps."""

    name: str

    def pull(self, step: int, W_dec_SFO: Tensor) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Weighted loss terms of each seed, and the gradient [S, F, O] of their sum."""
        ...
