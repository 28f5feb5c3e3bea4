"""A training state on the device: each seed has tensors of its own, so that it gets the same in a stack and alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from husai.saes.config import TopKConfig
from husai.training.engines.triton_kernels.adam import Moved
from husai.training.state import TrainState

BIAS_PARTS = 3  # a float32 is the sum of three bfloat16
ALIGNED = 8  # numbers of two bytes that are read at a time


def wide(d_in: int) -> int:
    """Columns of rows and encoder weights with the bias beside them, rounded up to what can be read at a time."""
    return -(-(d_in + BIAS_PARTS) // ALIGNED) * ALIGNED


@dataclass
class SeedTensors:
    """One seed: parameters with their moments, dead counters, and copies in bfloat16 for products and gathers.

    `copy_enc` [F, X] has the encoder weights, then the bias in three parts (rows have ones there, so the product adds
    it), then zeros. `start_FO` is the decoder that a soft freeze keeps near.
    """

    parameters: dict[str, Moved]
    last_fired_F: Tensor
    copy_enc: Tensor | None
    copy_dec: Tensor | None
    start_FO: Tensor | None

    @property
    def decoder(self) -> Tensor:
        """Decoder rows as they are gathered."""
        return self.parameters["W_dec"].weight if self.copy_dec is None else self.copy_dec

    def refresh_decoder(self) -> None:
        """To be called when decoder rows were changed by anything but their update."""
        if self.copy_dec is not None:
            self.copy_dec.copy_(self.parameters["W_dec"].weight)


class Resident:
    """The seeds of a state on the device; `write_back` brings the state up to date."""

    def __init__(self, config: TopKConfig, state: TrainState, device: torch.device, rounded: bool) -> None:
        self.seeds = [_seed(config, state, seed, device, rounded) for seed in range(state.seeds)]

    def write_back(self, state: TrainState) -> None:
        """Copy parameters, moments and counters into the state's own tensors; waits for the device."""
        for position, seed in enumerate(self.seeds):
            for name, moved in seed.parameters.items():
                for group, tensor in zip((state.parameters, state.m, state.v), moved, strict=True):
                    group[name][position].copy_(tensor)
            state.last_fired_SF[position].copy_(seed.last_fired_F)


def _seed(config: TopKConfig, state: TrainState, position: int, device: torch.device, rounded: bool) -> SeedTensors:
    groups = (state.parameters, state.m, state.v)
    parameters = {name: Moved(*(_own(group[name][position], device) for group in groups)) for name in state.parameters}
    held = config.freeze == "soft_decoder"
    start = _own(torch.from_numpy(state.snapshots[0][position]), device) if held else None
    copies = _copies(parameters) if rounded else (None, None)
    return SeedTensors(parameters, _own(state.last_fired_SF[position], device), *copies, start)


def _own(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.detach().contiguous().to(device, copy=True)


def _copies(parameters: dict[str, Moved]) -> tuple[Tensor, Tensor]:
    W, rest = parameters["W_enc"].weight, parameters["b_enc"].weight.clone()
    F, D = W.shape
    copy = torch.zeros(F, wide(D), dtype=torch.bfloat16, device=W.device)
    copy[:, :D].copy_(W)
    for part in range(BIAS_PARTS):
        copy[:, D + part].copy_(rest)
        rest -= copy[:, D + part]
    return copy, parameters["W_dec"].weight.to(torch.bfloat16)
