"""What an engine offers: it computes one optimisation step of S seeds and says what it supports."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from husai.saes.config import AnySAEConfig
from husai.training.coupling.coupling import Coupling
from husai.training.state import TrainState

SeedTerms = list[dict[str, Tensor]]


class Engine(Protocol):
    """One step of S seeds. Every engine must agree with `reference`; what it cannot do runs there."""

    name: str

    def refuses(self, config: AnySAEConfig, coupling: Coupling | None) -> str:
        """Why this engine cannot run a configuration; empty when it can."""
        ...

    def step(self, state: TrainState, x_SBD: Tensor, lr: float) -> SeedTerms:
        """Advance `state` by one step on scaled rows x [S, B, D] and return the loss terms of each seed."""
        ...
