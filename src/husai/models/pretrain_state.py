"""State of a training run on disk: parameters, Adam's two moments, step and history in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from husai.config import canonical_json, content_hash
from husai.errors import UserError
from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.transformer import Transformer
from husai.models.weights import fill, model_arrays
from husai.store.tensors import Arrays, load_arrays, read_metadata, save_arrays
from husai.tasks.task import Task

FORMAT = "husai.pretrain/1"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class HistoryRow:
    """One evaluation: losses in nats per row, accuracies as shares; `test` is the held-out side."""

    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


@dataclass
class TrainState:
    """Everything that the next step depends on. `fingerprint` names the run that it belongs to."""

    model: Transformer
    optimizer: torch.optim.AdamW
    fingerprint: str
    step: int = 0
    history: list[HistoryRow] = field(default_factory=list)


def fingerprint(config: PretrainConfig, model_config: TransformerConfig, task: Task, seed: int) -> str:
    """Hash of what decides every bit of a run; a checkpoint of another run is refused."""
    run = {"config": config.plain(), "model": model_config.plain(), "task": task.content_hash, "seed": seed}
    return content_hash(run)


def save_state(path: Path, state: TrainState) -> Path:
    """Write the state atomically."""
    arrays = {f"model.{name}": array for name, array in model_arrays(state.model).items()}
    for name, parameter in state.model.named_parameters():
        for moment, value in state.optimizer.state[parameter].items():
            if moment in MOMENTS:
                arrays[f"{moment}.{name}"] = value.numpy().copy()
    metadata = {
        "format": FORMAT,
        "fingerprint": state.fingerprint,
        "step": str(state.step),
        "history": canonical_json([asdict(row) for row in state.history]),
    }
    return save_arrays(path, arrays, metadata)


def load_state(path: Path, state: TrainState) -> None:
    """Set model, optimiser, step and history from a file of the same run.

    Raises:
        UserError: truncated, not a checkpoint, or of another run.
    """
    arrays, metadata = load_arrays(path), read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} is not a training checkpoint of husai: remove it or choose another folder")
    if metadata.get("fingerprint") != state.fingerprint:
        raise UserError(f"{path} belongs to a run with other settings: remove it or choose another folder")
    fill(state.model, _part(arrays, "model"), path)
    state.step = int(metadata["step"])
    state.history = [HistoryRow(**row) for row in json.loads(metadata["history"])]
    moments = {moment: _part(arrays, moment) for moment in MOMENTS}
    for name, parameter in state.model.named_parameters():
        entry = {moment: torch.tensor(moments[moment][name]) for moment in MOMENTS}
        state.optimizer.state[parameter] = {"step": torch.tensor(float(state.step)), **entry}


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(f"{prefix}."): a for name, a in arrays.items() if name.startswith(f"{prefix}.")}
