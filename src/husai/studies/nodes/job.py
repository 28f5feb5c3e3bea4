"""A training on the rows of an activations node: the job for the trainer, and the stack that it gives."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from husai.activations.supply import LabelsAt
from husai.errors import UserError
from husai.saes import sae
from husai.saes.config import AnySAEConfig, SAEConfig
from husai.saes.jsae import scaled_mlp
from husai.saes.parameters import Parameters
from husai.saes.stack import SAEStack, load_stack
from husai.store.tensors import load_arrays
from husai.studies.node import Work
from husai.studies.nodes.activations import MLP_FILE
from husai.studies.nodes.anchors import anchor_rows
from husai.studies.nodes.labels import head_labels
from husai.studies.nodes.rows import Rows
from husai.training.config import TrainingConfig
from husai.training.coupling.config import AnyCoupling, CouplingConfig
from husai.training.coupling.couple import Tie, couple
from husai.training.coupling.coupling import Coupling
from husai.training.trainer import Job, Trained

SAE: TypeAdapter[AnySAEConfig] = TypeAdapter(SAEConfig)
COUPLING: TypeAdapter[AnyCoupling] = TypeAdapter(CouplingConfig)
REFERENCE = "reference"  # the parent that a coupling ties to


def job_on(
    work: Work,
    config: AnySAEConfig,
    training: TrainingConfig,
    rows: Rows,
    seeds: tuple[int, ...],
    identity: str,
    title: str,
) -> tuple[Job, str]:
    """Train `seeds` on the training rows of the work's activations; and how the order of rows is made, in words."""
    root, parts = work.fields["root_seed"], len(seeds) if training.data == "disjoint" else 1
    feed = rows.feed(training, seeds, root, parts)
    job = Job(
        config, training, rows.cache.d_in, seeds, root, feed.batch, identity, title,
        ahead=feed.look_ahead, rows_of=lambda seed: rows.start_rows(seeds, root)(seed),
        context=_context(work.folders["activations"], rows), coupling=_coupling(work, config, rows, parts),
        labels_at=_labels_at(config, training, rows, seeds, root, parts),
    )  # fmt: skip
    return job, feed.batches.how


def _labels_at(
    config: AnySAEConfig, training: TrainingConfig, rows: Rows, seeds: tuple[int, ...], root: int, parts: int
) -> LabelsAt | None:
    if config.supervised is None:
        return None
    return rows.labels_at(head_labels(rows, config.supervised).learned_N, training, seeds, root, parts)


def groups_of(work: Work) -> list[tuple[int, ...]]:
    """The seeds of each group that a coupling ties; all of them are one where the node says nothing of groups."""
    seeds = work.fields["seeds"]
    size = work.fields.get("group_size", len(seeds))
    return [tuple(seeds[start : start + size]) for start in range(0, len(seeds), size)]


def references_of(work: Work, rows: Rows) -> list[sae.SAE]:
    """The SAEs that a coupling ties to, one for each group; none where it needs none.

    Raises:
        UserError: it was trained on rows of another scale, so that its weights mean something else here.
    """
    if REFERENCE not in work.folders:
        return []
    stack = load_stack(work.folders[REFERENCE] / "stack.safetensors")
    same = np.array_equal(stack.mean_D.numpy(), rows.scaling.mean_D)
    if not same or not np.array_equal(np.asarray(stack.factor), np.asarray(rows.scaling.factor, np.float32)):
        raise UserError("the reference of the coupling was trained on other rows: give one that was trained on these")
    return [stack[group] for group in range(len(groups_of(work)))]


def coupling_of(work: Work) -> AnyCoupling | None:
    """What ties the seeds together, as the node asks for it."""
    return COUPLING.validate_python(work.fields["coupling"]) if "coupling" in work.fields else None


def _coupling(work: Work, config: AnySAEConfig, rows: Rows, parts: int) -> Coupling | None:
    asked, root = coupling_of(work), work.fields["root_seed"]
    if asked is None:
        return None
    groups = groups_of(work)
    references: list[sae.SAE | None] = [*references_of(work, rows)] or [None] * len(groups)
    ties = [
        Tie(config, rows.cache.d_in, root, its, partial(anchor_rows, rows, seeds, parts, root, number), number)
        for number, (seeds, its) in enumerate(zip(groups, references, strict=True))
    ]
    return couple(asked, ties, len(groups[0]))


def stack_of(trained: Trained, job: Job, rows: Rows) -> SAEStack:
    """The trained SAEs, with the scale of the rows."""
    return trained.stack(job, *scale_of(rows))


def scale_of(rows: Rows) -> tuple[torch.Tensor, float | torch.Tensor, str]:
    """Mean, factor and hook of the rows, as a stack keeps them."""
    factor = rows.scaling.factor
    scale = factor if isinstance(factor, float) else torch.from_numpy(factor)
    return torch.from_numpy(rows.scaling.mean_D), scale, rows.scaling.hook_name


def _context(activations: Path, rows: Rows) -> Parameters | None:
    """The MLP between the hooks, where the rows passed through one, as scaled rows see it."""
    path = activations / MLP_FILE
    if not path.exists():
        return None
    arrays = load_arrays(path)
    W_in, b_in, W_out = (torch.from_numpy(arrays[name]) for name in ("W_in", "b_in", "W_out"))
    mean, factor = torch.from_numpy(rows.scaling.mean_D), torch.as_tensor(rows.scaling.factor)
    return scaled_mlp(W_in, b_in, W_out, mean, factor)
