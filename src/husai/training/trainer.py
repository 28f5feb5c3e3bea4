"""The one loop that trains S seeds together, from a state to a budget of steps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from husai.activations.supply import BatchAt, LabelsAt, Spent, Supply
from husai.errors import UserError
from husai.events import check_stop, report, stop_requested, warn
from husai.saes.config import AnySAEConfig
from husai.saes.parameters import Parameters
from husai.saes.stack import SAEStack
from husai.store.files import make_folder
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.choose import choose
from husai.training.engines.engine import Engine, numbers
from husai.training.schedules import is_snapshot, learning_rate, trunk_end
from husai.training.state import RowsOf, TrainState, load_state, save_state, start

LOG_EVERY = 25
TRUNK, BRANCH = "trunk.safetensors", "branch.safetensors"
SAVE_EVERY_SECONDS = 5.0
WAITING_SHARE, WAITING_SECONDS = 0.05, 10.0  # more than this share of more than this time is worth a word


@dataclass(frozen=True)
class Job:
    """One training: what, on which scaled batches, for which seeds.

    `batch_at(step)` returns scaled rows [S, B, D] as a pure function of the step; `ahead` of them are gathered before
    they are needed. `rows_of` gives each seed rows to start from, `context` what all rows passed through, `labels_at`
    the labels that a head may learn from. `identity` names the trajectory (everything but the budget), so that a
    checkpoint is never resumed as something else.
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
    ahead: int = 0
    rows_of: RowsOf | None = None
    context: Parameters | None = None
    labels_at: LabelsAt | None = None


@dataclass(frozen=True)
class Trained:
    """State after `steps` steps with the rate decayed to zero, and the trunk to go on from with a larger budget.

    `why_engine` says why this engine, and how it computed. `spent` is the time that this process spent in steps, which
    differs from run to run.
    """

    final: TrainState
    trunk: TrainState
    engine: str
    why_engine: str
    spent: Spent

    def stack(self, job: Job, mean_D: Tensor, factor: float | Tensor, hook_name: str = "") -> SAEStack:
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
    engine, why = choose(job.config, job.training, job.coupling, job.labels_at)
    state = _resume(trunk_path, job) or trunk
    if state is None:
        state = start(job.config, job.training, job.d_in, job.seeds, job.root, job.rows_of, job.context, job.coupling)
    if state.step > split:
        raise UserError(f"{job.title}: the trunk is at step {state.step}, beyond the decay of {steps} steps at {split}")
    spent = Spent()
    _advance(engine, job, state, split, trunk_path, spent)
    save_state(trunk_path, state, job.identity)
    branch = _resume(branch_path, job) or copy_state(state)
    _advance(engine, job, branch, steps, branch_path, spent)
    branch_path.unlink(missing_ok=True)
    _say_waiting(job, spent)
    return Trained(branch, state, engine.name, f"{why}; {engine.how}", spent)


def _advance(engine: Engine, job: Job, state: TrainState, until: int, path: Path, spent: Spent) -> None:
    with Supply(job.batch_at, state.step, until, job.ahead, spent) as batches:
        _steps(engine, job, state, until, path, batches)


def _steps(engine: Engine, job: Job, state: TrainState, until: int, path: Path, batches: Supply) -> None:
    steps, saved = job.training.steps, time.monotonic()
    report(job.identity, job.title, state.step, steps)
    while state.step < until:
        if is_snapshot(state.step):
            engine.sync(state)
            state.snapshots[state.step] = state.parameters["W_dec"].numpy().copy()
        step = state.step
        terms = engine.step(state, batches.take(), learning_rate(job.training, steps, step))
        if step % LOG_EVERY == 0 or state.step == steps:
            _log(job, state, numbers(terms))
        if stop_requested() or time.monotonic() - saved > job.save_every:
            engine.sync(state)
            save_state(path, state, job.identity)
            saved = time.monotonic()
            check_stop()
    engine.sync(state)
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


def _say_waiting(job: Job, spent: Spent) -> None:
    if job.ahead and spent.seconds > WAITING_SECONDS and spent.share > WAITING_SHARE:
        warn(
            f"{job.title}: {spent.share:.0%} of {spent.seconds:.0f} s went by waiting for rows from the disk; "
            "put the results folder on a faster one"
        )


def _resume(path: Path, job: Job) -> TrainState | None:
    return load_state(path, job.identity) if path.exists() else None


def copy_state(state: TrainState) -> TrainState:
    """A deep copy."""
    groups = (state.parameters, state.m, state.v, state.held)
    copies = [{name: t.clone() for name, t in group.items()} for group in groups]
    history = {name: dict(rows) for name, rows in state.history.items()}
    last, notes = state.last_fired_SF.clone(), (history, dict(state.snapshots), dict(state.choices))
    return TrainState(copies[0], copies[1], copies[2], last, state.step, *notes, copies[3])
