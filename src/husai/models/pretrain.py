"""Training a model on a task until it answers held-out rows: same seed, same bits; stops and goes on at any step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from husai import events
from husai.errors import UserError
from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.predict import answer_logits
from husai.models.pretrain_state import HistoryRow, TrainState, fingerprint, load_state, save_state
from husai.models.transformer import Transformer
from husai.seeds import Role, generator
from husai.tasks.task import Task

Stopped = Literal["target", "max_steps"]
REPORT_EVERY = 20  # steps


@dataclass(frozen=True)
class Pretrained:
    """A trained model and how it got there. `stopped` says which condition ended training."""

    model: Transformer
    history: tuple[HistoryRow, ...]
    steps: int
    stopped: Stopped

    @property
    def held_out_accuracy(self) -> float:
        """Share of held-out rows answered correctly by the final weights."""
        return self.history[-1].test_accuracy


def pretrain(
    config: PretrainConfig,
    model_config: TransformerConfig,
    task: Task,
    seed: int,
    *,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    job: str = "pretrain",
) -> Pretrained:
    """Train from the streams `model_init` and `model_batches` of the root seed, on the CPU.

    With `checkpoint` (a file), the state is saved there every `checkpoint_seconds`, when a stop is requested and at
    the end; the same call goes on from it, bit for bit. The file is left for the caller to remove.

    Raises:
        UserError: the model does not fit the task, the loss is not finite, or the checkpoint is another run's.
        Interrupted: a stop was requested; the state is saved.
    """
    model_config = model_config.fitted(task)
    model = model_config.build(seed)
    state = TrainState(model, _optimizer(config, model), fingerprint(config, model_config, task, seed))
    if checkpoint is not None and checkpoint.exists():
        load_state(checkpoint, state)
    batches = Batches(task.train_index, config.batch, seed)
    saver = _Saver(checkpoint, checkpoint_seconds)
    while (stopped := stop_reason(config, state.history)) is None:
        _advance(config, task, state, batches)
        _report(config, state, job)
        saver.maybe(state)
    saver.save(state)
    events.report(job, f"training on {task.name}", state.step, state.step, _note(state))
    return Pretrained(model, tuple(state.history), state.step, stopped)


class Batches:
    """Row numbers of each step: a pure function of (seed, step).

    Every epoch is a new order of the training rows, cut into whole batches; with fewer rows than a batch, each step
    takes all of them.
    """

    def __init__(self, rows: np.ndarray, size: int, seed: int) -> None:
        self.rows, self.size, self.seed = rows, min(size, rows.size), seed
        self._epoch, self._order = -1, rows

    def at(self, step: int) -> np.ndarray:
        """Rows of one step (counted from 0)."""
        epoch, place = divmod(step, self.rows.size // self.size)
        if epoch != self._epoch:
            rng = generator(self.seed, Role.MODEL_BATCHES, epoch)
            self._epoch, self._order = epoch, rng.permutation(self.rows)
        return self._order[place * self.size : (place + 1) * self.size]


def stop_reason(config: PretrainConfig, history: list[HistoryRow]) -> Stopped | None:
    """Why training ends after this history, or None: a function of the history only, so that resuming agrees."""
    if not history:
        return None
    good = [row.test_accuracy >= config.target_accuracy for row in history]
    held = [all(good[i - config.hold + 1 : i + 1]) for i in range(config.hold - 1, len(good))]
    if held and held[-1]:
        first = history[held.index(True) + config.hold - 1].step
        if history[-1].step - first >= config.extra_steps:
            return "target"
    return "max_steps" if history[-1].step >= config.max_steps else None


def _optimizer(config: PretrainConfig, model: Transformer) -> torch.optim.AdamW:
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True
    )


def _advance(config: PretrainConfig, task: Task, state: TrainState, batches: Batches) -> None:
    """One optimiser step, and an evaluation when it is due."""
    rows = batches.at(state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = config.lr * min(1.0, (state.step + 1) / max(1, config.warmup_steps))
    logits_BV = state.model.answer(torch.tensor(task.tokens_NT[rows]), task.read_position)
    loss = functional.cross_entropy(logits_BV, torch.tensor(task.labels_N[rows]))
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.step += 1
    if state.step % config.eval_every == 0 or state.step == config.max_steps:
        state.history.append(evaluate(state.model, task, state.step))


def evaluate(model: Transformer, task: Task, step: int = 0) -> HistoryRow:
    """Mean cross-entropy (nats) and accuracy on training and held-out rows.

    Raises:
        UserError: the loss is not finite.
    """
    row = HistoryRow(step, *_score(model, task, task.train_index), *_score(model, task, task.test_index))
    if not np.isfinite([row.train_loss, row.test_loss]).all():
        raise UserError(f"training on {task.name} diverged by step {step}: lower lr")
    return row


def _score(model: Transformer, task: Task, rows: np.ndarray) -> tuple[float, float]:
    logits_NV = answer_logits(model, task.tokens_NT[rows], task.read_position).double()
    labels_N = torch.tensor(task.labels_N[rows], device=logits_NV.device)
    loss = functional.cross_entropy(logits_NV, labels_N).item()
    return loss, (logits_NV.argmax(-1) == labels_N).double().mean().item()


def _note(state: TrainState) -> str:
    return f"held-out accuracy {state.history[-1].test_accuracy:.3f}" if state.history else ""


def _report(config: PretrainConfig, state: TrainState, job: str) -> None:
    if state.step % REPORT_EVERY == 0:
        events.report(job, "training the model", state.step, config.max_steps, _note(state))


class _Saver:
    """Saves the state when it is time, and when a stop is requested."""

    def __init__(self, path: Path | None, seconds: float) -> None:
        self.path, self.seconds, self.last = path, seconds, time.monotonic()

    def maybe(self, state: TrainState) -> None:
        """Save if due; raise `Interrupted` (after saving) if a stop was requested."""
        if events.stop_requested() or time.monotonic() - self.last >= self.seconds:
            self.save(state)
        events.check_stop()

    def save(self, state: TrainState) -> None:
        """Save now."""
        if self.path is not None:
            save_state(self.path, state)
        self.last = time.monotonic()
