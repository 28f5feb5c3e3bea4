"""Node `stack`: train the seeds of one SAE config together; a smaller budget's trunk is gone on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from husai.activations.guards import check_rows, row_facts
from husai.activations.supply import Spent
from husai.config import content_hash
from husai.evals.fidelity import fidelity
from husai.events import warn
from husai.saes.config import AnySAEConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.conventions import penalties
from husai.store.files import write_json
from husai.store.record import Measurement
from husai.store.tensors import save_arrays
from husai.studies.coupled import labels
from husai.studies.heads import alone_warning
from husai.studies.measured import single
from husai.studies.node import Outcome, Work
from husai.studies.nodes.job import SAE, coupling_of, groups_of, job_on, references_of, stack_of
from husai.studies.nodes.labels import head_labels
from husai.studies.nodes.rows import Rows, open_rows
from husai.training.config import TrainingConfig
from husai.training.coupling.config import penalty
from husai.training.coupling.swamped import swamped
from husai.training.schedules import trunk_end
from husai.training.state import TrainState, load_state
from husai.training.trainer import TRUNK, train


def config_of(work: Work) -> AnySAEConfig:
    """The SAE that is trained: as declared, or as its calibration found it."""
    if "calibrated" in work.folders:
        return SAE.validate_python(work.parent("calibrated").facts["sae"])
    return SAE.validate_python(work.fields["sae"])


def run(work: Work) -> Outcome:
    """Train to the node's budget and keep the stack, the trunk, the decoders over steps and the loss curves."""
    config, training = config_of(work), TrainingConfig.parse(work.fields["training"])
    root, seeds = work.fields["root_seed"], tuple(work.fields["seeds"])
    rows = open_rows(work.folders["activations"], training, root)
    warnings = check_sizes(config, rows.cache.d_in) + check_rows(rows.cache.manifest, config.d_sae, rows.different)
    identity = trajectory_id(work)
    job, order = job_on(work, config, training, rows, seeds, identity, work.title)
    warnings += [job.coupling.says()] if job.coupling else []
    for text in warnings:
        warn(text)
    trained = train(job, work.draft, _earlier(work, training, identity))
    stack = stack_of(trained, job, rows)
    stack.save(work.draft / "stack.safetensors")
    save_curves(work.draft, trained.final)
    if job.coupling and (text := swamped(job.coupling.name, trained.final.history)):
        warnings.append(text)
        warn(text)
    facts: dict[str, Any] = {
        "engine": trained.engine,
        "why_engine": trained.why_engine,
        "warnings": warnings + alone_warning(config),
        "rows": row_facts(rows.cache.manifest, config.d_sae),
        "threads": 1,
        "row_order": order,
        "sae": config.plain(),
        "penalties": penalties(config),
    }
    if (asked := coupling_of(work)) is not None:
        facts["penalties"] |= penalty(asked)
    if len(groups_of(work)) > 1:
        facts["groups"] = labels(len(seeds), work.fields["group_size"])
    if config.supervised is not None:
        facts["labels"] = head_labels(rows, config.supervised).facts()
    made = measurements(rows, training, trained.final) + _references(work, rows)
    return Outcome(made, facts, {"seeds": list(seeds), "root": root}, seconds=seconds_of(trained.spent))


def seconds_of(spent: Spent) -> dict[str, float]:
    """What differs from run to run, and belongs to the provenance; nothing where all steps were there already."""
    return {"steps": spent.seconds, "waiting_for_rows": spent.waiting} if spent.seconds else {}


def trajectory_id(work: Work) -> str:
    """What the trunk depends on: everything but the budget."""
    fields = {**work.fields, "training": {k: v for k, v in work.fields["training"].items() if k != "steps"}}
    return content_hash({"fields": fields, "parents": work.parents})[:16]


def _earlier(work: Work, training: TrainingConfig, identity: str) -> TrainState | None:
    """The trunk of a smaller budget, where its node is done: the same bits as from scratch, for less."""
    for folder in work.earlier:
        path = folder / TRUNK
        if path.exists():
            state = load_state(path, identity)
            if state.step <= trunk_end(training, training.steps):
                return state
    return None


def save_curves(folder: Path, state: TrainState) -> None:
    """Decoders and loss terms over steps."""
    snapshots = {f"step.{step}": W for step, W in state.snapshots.items()}
    snapshots[f"step.{state.step}"] = state.parameters["W_dec"].numpy()
    save_arrays(folder / "trajectory.safetensors", snapshots)
    curves = {
        name: {"steps": sorted(by_step), "values": [_plain(by_step[step]) for step in sorted(by_step)]}
        for name, by_step in state.history.items()
    }
    write_json(folder / "history.json", curves)


def _plain(values_S: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values_S]


def measurements(rows: Rows, training: TrainingConfig, state: TrainState) -> list[Measurement]:
    """What the training took, and the scale of its rows."""
    epochs = training.steps * training.batch / len(rows.train_index)
    exact = "a count"
    return [
        Measurement(name="steps", value=state.step, unit="steps", no_interval=exact),
        Measurement(name="epochs", value=epochs, unit="passes over the training rows", no_interval=exact),
        Measurement(name="training_rows", value=len(rows.train_index), unit="rows", no_interval=exact),
        *_scale_factors(rows),
    ]


def _references(work: Work, rows: Rows) -> list[Measurement]:
    """What each reference of a coupling explains by itself: none is part of any mean over the coupled seeds."""
    references, x = references_of(work, rows), rows.held_out()
    name, unit = "explained_variance.reference", f"share of variance, {len(x)} held-out rows"
    groups = [{"group": str(number)} for number in range(len(references))]
    scopes = groups if len(groups) > 1 else [{}] * len(groups)
    return [
        single(name, fidelity(its, x).explained_variance, unit, scope, "one SAE", higher_is_better=True)
        for its, scope in zip(references, scopes, strict=True)
    ]


def _scale_factors(rows: Rows) -> list[Measurement]:
    """One for each hook."""
    unit, exact, widths = "1 / unit of the activations", "a count", rows.cache.manifest.widths
    factors = np.broadcast_to(rows.scaling.factor, sum(widths))[np.cumsum([0, *widths[:-1]])]
    scopes = [{"hook": hook.hook_name} for hook in rows.cache.manifest.origin.hooks] or [{}]
    return [
        Measurement(name="scale_factor", value=float(factor), unit=unit, no_interval=exact, scope=scope)
        for factor, scope in zip(factors, scopes, strict=True)
    ]
