"""The one loop that trains S seeds together, from a state to a budget of steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from husai.errors import UserError
from husai.events import check_stop, report, stop_requested
from husai.saes.config import AnySAEConfig
from husai.saes.stack import SAEStack
from husai.store.files import make_folder
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.choose import choose
from husai.training.engines.engine import Engine
from husai.training.schedules import is_snapshot, learning_rate, trunk_end
from husai.training.state import TrainState, load_state, save_state, start

BatchAt = Callable[[int], Tensor]
LOG_EVERY = 25
TRUNK, BRANCH = "trunk.safetensors", "branch.safetensors"
SAVE_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Job:
    """One training: what, on which scaled batches, for which seeds.

    `batch_at(step)` returns scaled rows [S, B, D] as a pure function of the step. `identity` names the trajectory
    (everything but the budget), so that a checkpoint is never resumed as something else.
    """

    config: AnySAEConfig
    training: TrainingConfig
    d_in: int
    seeds: tuple[int, ...]
    root: int
    batch_at: BatchAt
    identity: str
    title: str
    coupling: Coupling | None = None
    save_every: float = SAVE_EVERY_SECONDS


@dataclass(frozen=True)
class Trained:
    """State after `steps` steps with the rate decayed to zero, and the trunk to go on from with a larger budget."""

    final: TrainState
    trunk: TrainState
    engine: str
    why_engine: str

    def stack(self, job: Job, mean_D: Tensor, factor: float, hook_name: str = "") -> SAEStack:
        """The trained SAEs."""
        return SAEStack(job.config, job.seeds, self.final.parameters, mean_D, factor, hook_name)


def train(job: Job, folder: Path, trunk: TrainState | None = None) -> Trained:
    """Train to `job.training.steps`; `folder` keeps checkpoints, and a killed training goes on from them bit for bit.

    `trunk` is the trunk of a smaller budget of the same trajectory (never later than this one's decay).

    Raises:
        UserError: the loss is not finite; a checkpoint of something else.
        Interrupted: a stop was asked for; the state was saved.
    """
    steps = job.training.steps
    make_folder(folder)
    split = trunk_end(job.training, steps)
    trunk_path, branch_path = folder / TRUNK, folder / BRANCH
    engine, why = choose(job.config, job.training, job.coupling)
    state = _resume(trunk_path, job) or trunk or start(job.config, job.training, job.d_in, job.seeds, job.root)
    if state.step > split:
        raise UserError(f"{job.title}: the trunk is at step {state.step}, beyond the decay of {steps} steps at {split}")
    _advance(engine, job, state, split, trunk_path)
    save_state(trunk_path, state, job.identity)
    branch = _resume(branch_path, job) or copy_state(state)
    _advance(engine, job, branch, steps, branch_path)
    branch_path.unlink(missing_ok=True)
    return Trained(branch, state, engine.name, why)


def _advance(engine: Engine, job: Job, state: TrainState, until: int, path: Path) -> None:
    steps, saved = job.training.steps, time.monotonic()
    report(job.identity, job.title, state.step, steps)
    while state.step < until:
        if is_snapshot(state.step):
            state.snapshots[state.step] = state.parameters["W_dec"].numpy().copy()
        step = state.step
        terms = engine.step(state, job.batch_at(step), learning_rate(job.training, steps, step))
        if step % LOG_EVERY == 0 or state.step == steps:
            _log(job, state, [{name: float(t) for name, t in seed.items()} for seed in terms])
        if stop_requested() or time.monotonic() - saved > job.save_every:
            save_state(path, state, job.identity)
            saved = time.monotonic()
            check_stop()
    report(job.identity, job.title, state.step, steps)


def _log(job: Job, state: TrainState, terms: list[dict[str, float]]) -> None:
    if not all(np.isfinite(list(seed.values())).all() for seed in terms):
        raise UserError(
            f"{job.title}: the loss is not finite at step {state.step}; lower the learning rate "
            f"(--set training.lr={job.training.lr / 10:g})"
        )
    state.log(terms)
    mse = float(np.mean([seed["mse"] for seed in terms]))
    report(job.identity, job.title, state.step, job.training.steps, f"mse {mse:.3g}")


def _resume(path: Path, job: Job) -> TrainState | None:
    return load_state(path, job.identity) if path.exists() else None


def copy_state(state: TrainState) -> TrainState:
    """A deep copy."""
    copies = [{name: t.clone() for name, t in group.items()} for group in (state.parameters, state.m, state.v)]
    history = {name: dict(rows) for name, rows in state.history.items()}
    last = state.last_fired_SF.clone()
    return TrainState(copies[0], copies[1], copies[2], last, state.step, history, dict(state.snapshots))
