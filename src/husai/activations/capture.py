"""Read a model's activations on the rows of a task and stream them to shards. Padding never becomes a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from husai.activations.cache import ActivationCache
from husai.activations.labels import UNLABELLED, RowLabels
from husai.activations.manifest import HookColumns, Origin
from husai.activations.writer import ShardWriter
from husai.errors import UserError
from husai.events import check_stop, report
from husai.models.hooks import capture as captured
from husai.models.hooks import find_hook
from husai.models.weights import model_arrays
from husai.store.tensors import array_hash
from husai.tasks.task import Task

Positions = Literal["read", "all"] | Sequence[int]


@dataclass(frozen=True, eq=False)
class _Plan:
    """What to read where: the task, the hooks, positions [P], the padding mask [N, T] and the origin of the rows."""

    task: Task
    hooks: tuple[str, ...]
    columns_P: np.ndarray
    mask_NT: np.ndarray
    origin: Origin
    shard_rows: int | None


def capture(
    model: nn.Module,
    task: Task,
    hook_name: str | Sequence[str],
    folder: Path,
    *,
    positions: Positions = "read",
    batch: int = 1024,
    weights_hash: str | None = None,
    mask_NT: np.ndarray | None = None,
    examples: np.ndarray | None = None,
    description: str = "model activations",
    details: dict[str, object] | None = None,
    shard_rows: int | None = None,
) -> ActivationCache:
    """Run the model on the task and keep the activations at `hook_name` [B, T, D], with token, position and example.

    Rows where the answer is predicted carry the label `answer`, marked where the task holds its example out.

    A run that is stopped leaves an unfinished folder and starts over.

    Args:
        model: a causal model with hook points.
        task: the token rows.
        hook_name: where to read; several hooks are put side by side in one row.
        folder: becomes the cache.
        positions: `read` (where the answer is predicted), `all`, or a list of positions.
        batch: rows per forward pass; it is stored, because the last bits of the activations depend on it.
        weights_hash: content hash of the model (default: computed).
        mask_NT: true at real tokens, false at padding, which must be at the right; padding never becomes a row.
        examples: rows of the task to use (default: all, in order).
        description: what the rows are, in a few words.
        details: anything else to be stored with the origin, JSON-ready.
        shard_rows: rows per file.

    Raises:
        UserError: unknown hook or position, a hook that is not [B, T, D], a mask that leaves nothing or pads at the
            left, NaN in the activations, constant activations, or a folder that is already full.
        Interrupted: the user stopped the run.
    """
    hooks = (hook_name,) if isinstance(hook_name, str) else tuple(hook_name)
    for hook in hooks:
        find_hook(model, hook)
    origin = Origin(
        kind="captured",
        synthetic=False,
        description=description,
        hook_name=hooks[0],
        positions=positions_text(positions),
        hashes={"weights": weights_hash or array_hash(model_arrays(model)), "task": task.content_hash},
        details={"task": task.name, "batch": batch, "padding_masked": mask_NT is not None, **(details or {})},
    )
    plan = _Plan(task, hooks, chosen_positions(task, positions), _checked_mask(task, mask_NT), origin, shard_rows)
    chosen = np.arange(len(task.tokens_NT)) if examples is None else np.asarray(examples, dtype=np.int64)
    return _run(model, plan, chosen, batch, folder)


def _run(model: nn.Module, plan: _Plan, examples: np.ndarray, batch: int, folder: Path) -> ActivationCache:
    writer: ShardWriter | None = None
    places: list[tuple[np.ndarray, np.ndarray]] = []
    with _reading(model), captured(model, list(plan.hooks)) as found:
        for examples_B in _batches(examples, batch, " and ".join(plan.hooks)):
            tokens_BT = plan.task.tokens_NT[examples_B]
            model(torch.tensor(tokens_BT, device=_device(model)))
            parts = [_rows(found[hook], hook, tokens_BT.shape) for hook in plan.hooks]
            writer = writer or _writer(folder, [part.shape[-1] for part in parts], plan)
            places.append(_append(writer, np.concatenate(parts, axis=-1), examples_B, plan))
    if writer is None:
        raise UserError("there are no examples to capture: give at least one row of the task")
    return writer.close(_answers(plan.task, *(np.concatenate(part) for part in zip(*places, strict=True))))


def _answers(task: Task, examples_N: np.ndarray, positions_N: np.ndarray) -> RowLabels:
    """The answer of each row's example; none where it is not predicted: an earlier position may not know it yet."""
    labels_N = np.where(positions_N == task.read_position, task.labels_N[examples_N], UNLABELLED)
    return RowLabels("answer", task.n_classes, labels_N, np.isin(examples_N, task.test_index))


def _writer(folder: Path, widths: list[int], plan: _Plan) -> ShardWriter:
    """For rows of one hook, or of several side by side."""
    origin = plan.origin
    if len(plan.hooks) > 1:
        columns = tuple(HookColumns(hook_name=h, width=w) for h, w in zip(plan.hooks, widths, strict=True))
        origin = origin.model_copy(update={"hooks": columns})
    return ShardWriter(folder, sum(widths), origin, shard_rows=plan.shard_rows)


def chosen_positions(task: Task, positions: Positions) -> np.ndarray:
    """Sorted positions [P] to read.

    Raises:
        UserError: a position that the task does not have, or none.
    """
    width = task.tokens_NT.shape[1]
    if isinstance(positions, str):
        if positions not in ("read", "all"):
            raise UserError(f"positions '{positions}': write read, all, or a list of positions")
        return np.arange(width) if positions == "all" else np.array([task.read_position])
    wanted = np.unique(np.asarray(positions, dtype=np.int64))
    if not wanted.size or wanted[0] < 0 or wanted[-1] >= width:
        raise UserError(f"positions {list(positions)}: task {task.name} has positions 0 to {width - 1}")
    return wanted


def positions_text(positions: Positions) -> str:
    """How positions are written in a manifest."""
    return positions if isinstance(positions, str) else ",".join(str(p) for p in positions)


def _checked_mask(task: Task, mask_NT: np.ndarray | None) -> np.ndarray:
    if mask_NT is None:
        return np.ones(task.tokens_NT.shape, dtype=bool)
    mask = np.asarray(mask_NT).astype(bool)
    if mask.shape != task.tokens_NT.shape:
        raise UserError(f"the padding mask has shape {mask.shape}, the tokens {task.tokens_NT.shape}")
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise UserError("the mask pads at the left or in the middle, where a causal model reads it: pad at the right")
    return mask


def _batches(examples: np.ndarray, size: int, hook_name: str) -> Iterator[np.ndarray]:
    total = len(examples)
    for start in range(0, total, size):
        check_stop("run the same command again; the capture starts over")
        yield examples[start : start + size]
        report("capture", f"activations at {hook_name}", min(total, start + size), total)


@contextmanager
def _reading(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the model is left in the mode it was in."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _rows(x: Tensor, hook_name: str, tokens_shape: tuple[int, ...]) -> np.ndarray:
    if x.ndim != 3 or tuple(x.shape[:2]) != tokens_shape:
        raise UserError(
            f"hook {hook_name} gives {list(x.shape)}: an SAE reads [batch, position, width]; choose another hook"
        )
    return x.float().cpu().numpy()


def _append(
    writer: ShardWriter, x_BTD: np.ndarray, examples_B: np.ndarray, plan: _Plan
) -> tuple[np.ndarray, np.ndarray]:
    """Add the real tokens at the chosen positions, example by example; example and position of each."""
    columns_P = plan.columns_P
    kept_BP = plan.mask_NT[examples_B][:, columns_P]
    positions_n = np.broadcast_to(columns_P, kept_BP.shape)[kept_BP]
    examples_n = np.broadcast_to(examples_B[:, None], kept_BP.shape)[kept_BP]
    tokens_n = plan.task.tokens_NT[examples_B][:, columns_P][kept_BP]
    writer.append(x_BTD[:, columns_P][kept_BP], tokens=tokens_n, positions=positions_n, examples=examples_n)
    return examples_n, positions_n
