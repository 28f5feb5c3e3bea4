"""Engine `cpu`: one dense matrix product a step, in bfloat16 where the processor has it, and only to screen.

Codes come from exact dot products of the few candidates that the screen leaves; decoding and all gradients are sparse;
Adam is dense. Results depend neither on the screen, nor on what is beside a seed, nor on the number of threads (but
for the dense products of decorrelation and couplings, which are torch's). A coupling gives its terms and the gradients
of all decoders before any seed moves; latents that it keeps still are put back as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from husai.saes.config import AnySAEConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.batch_step import BatchStep
from husai.training.engines.coding import Coding, coding
from husai.training.engines.engine import SeedTerms
from husai.training.engines.routing import Moments
from husai.training.engines.screening import Rounded, Screen, multiplies_bfloat16, tile_rows
from husai.training.engines.seed_arrays import SeedArrays
from husai.training.engines.seed_step import Scratch, SeedStep, Workspace
from husai.training.engines.threads import Lanes
from husai.training.freezing import hold_near_start_
from husai.training.state import TrainState

SIDE_BY_SIDE = 2**24  # bytes of a seed's weights and moments above which two seeds push each other out of the cache


class CpuEngine:
    """Engine `cpu` for codes with a fixed number of latents per row, in the float type of the state.

    Args:
        threads: lanes of work; by default as many as torch uses.
        rounded: screen in bfloat16; by default where the processor has it and the state is float32.
    """

    name = "cpu"

    def __init__(
        self,
        config: AnySAEConfig,
        training: TrainingConfig,
        coupling: Coupling | None = None,
        threads: int | None = None,
        rounded: bool | None = None,
    ) -> None:
        found = coding(config)
        assert isinstance(found, Coding)
        self.config, self.coding, self.training, self.coupling = config, found, training, coupling
        self.lanes = Lanes(threads)
        self.rounded = multiplies_bfloat16() if rounded is None else rounded
        self.how = "screened in bfloat16" if self.rounded else "screened in float32: no bfloat16 in this processor"
        self._kept: _Room | None = None

    @staticmethod
    def refuses(config: AnySAEConfig, coupled: bool) -> str:
        """What `coding` says; every coupling is computed."""
        found = coding(config)
        return found if isinstance(found, str) else ""

    def sync(self, state: TrainState) -> None:
        """Nothing to do: steps work on the tensors of the state."""

    def step(self, state: TrainState, x_SBD: Tensor, lr: float) -> SeedTerms:
        """Small seeds apart, one to a lane; large ones, and those left over from the deal, share all lanes."""
        room = self._room(state, x_SBD)
        adam, rows = self._adam(state, lr), state.step * x_SBD.shape[1]
        terms, pulls = self._pull(state)
        make = BatchStep if self.coding.widths else SeedStep

        def apart(lane: int, seed: int) -> None:
            step = make(self.coding, room.seeds[seed], room.spaces[lane], [room.scratch[lane]], _in_turn)
            terms[seed] = step.run(x_SBD[seed].numpy(), adam, rows, pulls[seed]) | terms[seed]

        alone = room.side_by_side
        self.lanes.share(range(alone), apart)
        for seed in range(alone, state.seeds):
            step = make(self.coding, room.seeds[seed], room.spaces[0], room.scratch, self.lanes.share)
            terms[seed] = step.run(x_SBD[seed].numpy(), adam, rows, pulls[seed]) | terms[seed]
        self._hold(state)
        state.step += 1
        room.step = state.step
        return [{name: torch.tensor(value) for name, value in seed_terms.items()} for seed_terms in terms]

    def _pull(self, state: TrainState) -> tuple[list[dict[str, float]], list[np.ndarray | None]]:
        """Of each seed what the coupling adds to its terms and to its decoder's gradient."""
        if self.coupling is None:
            return [{} for _ in range(state.seeds)], [None] * state.seeds
        terms, gradient_SFO = self.coupling.pull(state.step, state.parameters["W_dec"], state.held)
        pulls: list[np.ndarray | None] = [None] * state.seeds
        if gradient_SFO is not None:
            pulls = list(gradient_SFO.numpy())
        return [{name: float(term) for name, term in seed_terms.items()} for seed_terms in terms], pulls

    def _room(self, state: TrainState, x_SBD: Tensor) -> _Room:
        """Kept from step to step of a state; made anew when another state, or the same at another step, comes."""
        room = self._kept
        if room is None or room.state is not state or room.step != state.step or room.batch != x_SBD.shape[1]:
            self._kept = room = _Room(self.coding, state, x_SBD.shape, self.lanes.count, self.rounded, self.coupling)
        return room

    def _adam(self, state: TrainState, lr: float) -> np.ndarray:
        """What the kernels' Adam needs, first the scale of gradients: -2 / B, or -2 / (B D) for means of elements."""
        t, training = state.step + 1, self.training
        step_size = lr / (1 - training.beta1**t)
        root = (1 - training.beta2**t) ** 0.5
        numbers = (step_size, 1 - training.beta1, training.beta2, 1 - training.beta2, training.eps, root)
        assert self._kept is not None
        count = self._kept.batch * (1 if self.coding.song_l1 is None else state.parameters["W_dec"].shape[-1])
        return np.array([-2 / count, *numbers], state.parameters["W_enc"].numpy().dtype)

    def _hold(self, state: TrainState) -> None:
        if self.config.freeze == "soft_decoder":
            for seed in range(state.seeds):
                hold_near_start_(state.parameters["W_dec"][seed], torch.from_numpy(state.snapshots[0][seed]))


class _Room:
    """Arrays of a state in training; a workspace for each seed in flight, scratch for each lane."""

    def __init__(
        self, coding: Coding, state: TrainState, shape: tuple[int, ...], lanes: int, rounded: bool,
        coupling: Coupling | None,
    ) -> None:  # fmt: skip
        dtype, batch, widths = state.parameters["W_enc"].numpy().dtype, shape[1], coding.columns(shape[2])
        rounded = rounded and dtype == np.float32
        self.state, self.step, self.batch = state, state.step, batch
        self.seeds = [_seed_arrays(state, seed, rounded) for seed in range(state.seeds)]
        for place, seed in enumerate(self.seeds):
            if coupling is not None and (still_F := coupling.still(place)) is not None:
                seed.still_N = np.flatnonzero(still_F.numpy())
        tile = min(batch, tile_rows(coding.d_sae))
        self.scratch = [Scratch(coding, tile, widths, dtype, rounded) for _ in range(lanes)]
        weights = sum(tensor[0].numpy().nbytes for tensor in state.parameters.values())
        self.side_by_side = state.seeds - state.seeds % lanes if 3 * weights <= SIDE_BY_SIDE else 0
        self.spaces = [Workspace(coding, batch, widths, dtype) for _ in range(lanes if self.side_by_side else 1)]


def _seed_arrays(state: TrainState, seed: int, rounded: bool) -> SeedArrays:
    groups = (state.parameters, state.m, state.v)
    shapes = {"b_enc": (-1, 1), "b_dec": (1, -1), "b_router": (1, -1)}

    def part(name: str) -> Moments:
        shape = shapes.get(name, state.parameters[name].shape[1:])
        w, m, v = (group[name][seed].numpy().reshape(shape) for group in groups)
        return w, m, v

    parts = {name: part(name) for name in state.parameters}
    W_enc = parts["W_enc"][0]
    bits = Rounded(*W_enc.shape) if rounded else None
    if bits is not None:
        bits.fill(W_enc, 0, len(W_enc))
    screen = Screen(W_enc, parts["b_enc"][0][:, 0], bits)
    router = (parts.pop("W_router"), parts.pop("b_router")) if "W_router" in parts else None
    return SeedArrays(**parts, router=router, last_fired_F=state.last_fired_SF[seed].numpy(), screen=screen)


def _in_turn(items: Iterable[int], task: Callable[[int, int], None]) -> None:
    """A lane's own work, one piece after the other."""
    for item in items:
        task(0, item)
