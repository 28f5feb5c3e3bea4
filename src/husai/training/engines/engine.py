"""What an engine offers: it computes one optimisation step of S seeds and says what it supports."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from husai.saes.config import AnySAEConfig
from husai.training.state import TrainState

SeedTerms = list[dict[str, Tensor]]
ABSENT = float("-inf")  # of a term that the device found not to apply; no loss is that small


class Engine(Protocol):
    """One step of S seeds. Every engine must agree with `reference`; what it cannot do runs there.

    `how` says how it computes; an engine that measures its choices has it in full after the first step.
    """

    name: str
    how: str

    def refuses(self, config: AnySAEConfig, coupled: bool) -> str:
        """Why this engine cannot run a configuration, with a coupling or without; empty when it can."""
        ...

    def step(self, state: TrainState, x_SBD: Tensor, lr: float) -> SeedTerms:
        """Advance `state` by one step on scaled rows x [S, B, D] and return the loss terms of each seed.

        Terms may be on a device. The step counts at once; tensors of the state may lag behind until `sync`.
        """
        ...

    def sync(self, state: TrainState) -> None:
        """Bring the tensors of `state` up to date. To be called before anybody reads or copies them."""
        ...


def numbers(terms: SeedTerms) -> list[dict[str, float]]:
    """Loss terms as numbers, without those that do not apply; waits for the device."""
    read = [{name: float(term) for name, term in seed.items()} for seed in terms]
    return [{name: number for name, number in seed.items() if number != ABSENT} for seed in read]
