"""Engine `cuda`: one product in bfloat16 a step, selection without sorting, sparse or dense gradients, Adam fused.

The state lives on the device; the caller's state is brought up to date by `sync`. Nothing of a step waits for the
device. On the CPU the same code runs in Triton's interpreter, slowly, which is how it is tested without a GPU.
"""

from __future__ import annotations

from functools import partial
from typing import cast, get_args

import torch
from torch import Tensor

from husai.saes.config import AnySAEConfig, TopKConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.coding import plain_topk
from husai.training.engines.cuda_paths import STAGES, Path, decode_group, faster, fill_trial, has_room
from husai.training.engines.cuda_replay import DeadWatch, Replay
from husai.training.engines.cuda_state import Resident
from husai.training.engines.cuda_step import Paths, Precision, Scalars, Step, idle
from husai.training.engines.cuda_work import Group, Workspace
from husai.training.engines.engine import SeedTerms
from husai.training.state import TrainState


class CudaEngine:
    """Engine `cuda` for TopK, in the float type of the state.

    Args:
        device: where the state lives; by default the current CUDA device.
        precision: `rounded` (products and gathers in bfloat16 with sums in float32, codes as the product gave them),
            `recomputed` (the same, but codes are computed again from the weights in float32) or `full` (everything in
            the type of the state). By default `rounded` for a float32 state on a GPU, else `full`.
        path: `sparse` or `dense` for all stages; by default each stage takes what was faster when it was first needed.
        graphs: whether steps are replayed as CUDA graphs; by default on a GPU.
    """

    name = "cuda"

    def __init__(
        self,
        config: AnySAEConfig,
        training: TrainingConfig,
        coupling: Coupling | None = None,
        *,
        device: str | torch.device = "cuda",
        precision: Precision | None = None,
        path: Path | None = None,
        graphs: bool | None = None,
    ) -> None:
        assert isinstance(config, TopKConfig) and not self.refuses(config, coupling is not None)
        self.config, self.training, self.device = config, training, torch.device(device)
        self.precision: Precision | None = precision
        self.path: Path | None = path
        self.graphs = self.device.type == "cuda" if graphs is None else graphs
        self.measured: dict[str, dict[str, float]] = {}
        self.how = "paths not chosen yet"
        self._kept: _Room | None = None

    @staticmethod
    def refuses(config: AnySAEConfig, coupled: bool) -> str:
        """TopK without coupling is supported."""
        return "this engine computes no coupling" if coupled else plain_topk(config)

    @torch.no_grad()
    def prepare(self, state: TrainState, batch: int) -> None:
        """What the first step does before it computes: move the state, make room, time both paths, choose."""
        self._room(state, batch)

    @torch.no_grad()
    def step(self, state: TrainState, x_SBD: Tensor, lr: float) -> SeedTerms:
        """All seeds, one after the other on the device. `mse` and `aux` are on the device; `aux` may be ABSENT."""
        room = self._room(state, x_SBD.shape[1])
        with_aux = room.may_be_dead(state.step)
        if with_aux:
            self._choose_paths(state, room, "aux ", room.work.aux)
        terms_S2 = room.step(state.step, x_SBD, lr, with_aux)
        state.step += 1
        room.at = state.step
        return [{"mse": mse, "aux": aux} if with_aux else {"mse": mse} for mse, aux in terms_S2]

    def sync(self, state: TrainState) -> None:
        """Copy what has changed since the last time into the tensors of `state`."""
        room = self._kept
        if room is not None and room.state is state and room.synced != room.at:
            room.resident.write_back(state)
            room.synced = room.at

    def _room(self, state: TrainState, batch: int) -> _Room:
        """Kept from step to step of a state; made anew when another state, or the same at another step, comes."""
        room = self._kept
        if room is None or room.state is not state or room.at != state.step or room.work.batch != batch:
            if room is not None:
                self._leave(room, state)
            dtype = state.parameters["W_enc"].dtype
            rounded = self.device.type == "cuda" and dtype == torch.float32
            precision = self.precision or ("rounded" if rounded else "full")
            self._kept = room = _Room(self.config, self.training, state, batch, precision, self.device, self.graphs)
            self._choose_paths(state, room, "", room.work.main)
        return room

    def _leave(self, room: _Room, state: TrainState) -> None:
        """Another state gets what is its own; the same one was changed by its owner. Memory is given back."""
        if room.state is not state:
            self.sync(room.state)
        room.close()
        self._kept = None

    def _choose_paths(self, state: TrainState, room: _Room, prefix: str, group: Group) -> None:
        """A choice that the state brings along is kept, so that training goes on with the same bits."""
        for stage in STAGES:
            name = prefix + stage
            if name not in room.paths:
                known = self.path or cast("Path | None", state.choices.get(name))
                room.paths[name] = known or self._measure(room, name, group)
                state.choices[name] = room.paths[name]
        self.how = room.described(self.measured)

    def _measure(self, room: _Room, name: str, group: Group) -> Path:
        """Both ways are timed on codes spread over all latents, with Adam's scalars such that nothing changes."""
        if not has_room(room.work):
            return "sparse"
        fill_trial(room.work, group)
        trial = room.try_decode if name.endswith("decode") else room.try_gradients
        ways = {path: partial(trial, group, path) for path in get_args(Path)}
        path, self.measured[name] = faster(ways, self.device.type == "cuda")
        room.forget_trials()
        return path


class _Room:
    """A state on the device and all that its steps need."""

    def __init__(
        self, config: TopKConfig, training: TrainingConfig, state: TrainState, batch: int, precision: Precision,
        device: torch.device, graphs: bool,
    ) -> None:  # fmt: skip
        W = state.parameters["W_enc"]
        kept = W.dtype if precision == "full" else torch.bfloat16
        self.state, self.at, self.synced, self.precision = state, state.step, state.step, precision
        self.resident = Resident(config, state, device, rounded=kept != W.dtype)
        self.work = Workspace(config, batch, W.shape[-1], W.dtype, kept, device)
        self.scalars = Scalars(training.beta1, training.beta2, training.eps, batch, W.dtype, device)
        self.paths: Paths = {}
        self._step = Step(config, precision, self.work, self.scalars, self.paths)
        self._x = [torch.zeros(batch, W.shape[-1], dtype=W.dtype, device=device) for _ in range(state.seeds)]
        self._terms_S2 = torch.zeros(state.seeds, 2, dtype=W.dtype, device=device)
        self._graphs = graphs
        self.forget_trials()
        last = [seed.last_fired_F for seed in self.resident.seeds]
        self._watch = DeadWatch(last, config.dead_after) if config.aux_k else None

    def may_be_dead(self, step: int) -> bool:
        """Whether the step after `step` steps must ask for dead latents."""
        return self._watch is not None and self._watch.may_be_dead(step, step * self.work.batch)

    def step(self, step: int, x_SBD: Tensor, lr: float, with_aux: bool) -> Tensor:
        """Terms [S, 2] of a step."""
        for into_BD, x_BD in zip(self._x, x_SBD, strict=True):
            on_its_way = x_BD.pin_memory() if into_BD.is_cuda and not x_BD.is_cuda else x_BD
            into_BD.copy_(on_its_way, non_blocking=True)
        self.scalars.set(step, lr, step * self.work.batch)
        self._replays[with_aux]()
        return self._terms_S2.clone()

    def _all(self, with_aux: bool) -> None:
        for seed, x_BD, terms_2 in zip(self.resident.seeds, self._x, self._terms_S2, strict=True):
            self._step.run(seed, x_BD, terms_2, with_aux)

    def try_decode(self, group: Group, path: Path) -> None:
        """For the clock only: codes of no meaning leave something of what the rows left."""
        seed = self.resident.seeds[0]
        decode_group(self.work, group, path, self._x[0], None, seed.decoder, self.work.one)

    def try_gradients(self, group: Group, path: Path) -> None:
        """For the clock only: no weight changes, and rows are not normalised, which could change their last bits."""
        self._step.update_latents(self.resident.seeds[0], [(group, path)], idle(self.scalars.adam), unit=False)

    def forget_trials(self) -> None:
        """Give back the room that only trials needed, with the graphs, which hold on to it."""
        self._replays = {with_aux: Replay(partial(self._all, with_aux), self._graphs) for with_aux in (False, True)}
        self.work.drop()

    def close(self) -> None:
        """Drop what refers back to this room, so that its memory goes with the last reference to it."""
        self._replays.clear()

    def described(self, measured: dict[str, dict[str, float]]) -> str:
        """One line: precision, tile, paths."""
        noted = {name: " (measured)" for name in measured}
        chosen = ", ".join(f"{name} {path}{noted.get(name, '')}" for name, path in self.paths.items())
        sums = str(self.work.sums).removeprefix("torch.")
        what = {
            "full": f"everything in {sums}",
            "recomputed": f"product in bfloat16, codes recomputed in {sums}",
            "rounded": "product and codes in bfloat16",
        }
        return f"{what[self.precision]}; tiles of {self.work.tile} rows; {chosen}"
