"""Single steps of a study on their own: capture activations, or train a stack on activations that are there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from husai import events
from husai.activations.guards import require_real
from husai.activations.manifest import read_manifest
from husai.activations.source import CapturedSource, ExternalSource, Source
from husai.config import Config
from husai.errors import UserError
from husai.saes.config import SAEConfig, TopKConfig
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.studies.computing import Computing
from husai.studies.coupled import Coupled
from husai.studies.heads import alone_warning
from husai.studies.ledger import Ledger
from husai.studies.node import Node, folder_of
from husai.studies.plan import activations_nodes, given_folder, measure_node, reference_node, stack_node
from husai.studies.preflight import width
from husai.studies.seed_folders import SeedJob, write_seed_folders
from husai.training.config import TrainingConfig
from husai.training.coupling.config import CouplingConfig


class CaptureJob(Config):
    """What `husai capture` makes: a model trained on a task, and its activations at a hook."""

    source: Source = CapturedSource()
    root_seed: int = Field(default=0, ge=0)


class TrainJob(Config):
    """What `husai train` makes: `seeds` SAEs of one config, and their measurements.

    `synthetic` names the kinds of rows that may have come from no model; others of that sort are refused.
    """

    name: str = Field(default="train", pattern=r"^[a-z0-9][a-z0-9_-]*$")
    sae: SAEConfig = TopKConfig()
    training: TrainingConfig = TrainingConfig()
    seeds: int = Field(default=5, ge=2)
    synthetic: tuple[Literal["planted", "surrogate", "external"], ...] = ()
    root_seed: int = Field(default=0, ge=0)
    coupling: CouplingConfig | None = Field(
        default=None, description="ties seeds together; references are trained first, from seeds of their own"
    )
    group_size: int | None = Field(default=None, ge=1, description="of seeds tied together; default: all of them")


@dataclass
class Steps:
    """Runs a few nodes in a results folder, with the same ledger, locks and resuming as a study."""

    root: Path
    folder_name: str
    workers: int

    def run(self, nodes: list[Node]) -> dict[str, RunRecord]:
        """Compute what is not there; records by node id.

        Raises:
            UserError: what a node refuses.
            Interrupted: a stop was asked for.
        """
        ledger = Ledger(self.root / "experiments" / self.folder_name)
        with Computing(Results(self.root), self.workers, ledger) as done:
            done.nodes(nodes)
        return done.records


def capture_alone(job: CaptureJob, root: Path, workers: int) -> tuple[Path, RunRecord]:
    """Train the model if the source needs one, capture, and return the folder and record of the activations."""
    width(job.source)  # refuses now what would fail after the model has been trained
    nodes = activations_nodes(job.source, job.root_seed)
    records = Steps(root, "capture", workers).run(nodes)
    last = nodes[-1]
    return Results(root).node_folder(last.kind, last.id), records[last.id]


def given_activations(path: Path, key: str | None, d_in: int | None, root_seed: int) -> Node:
    """Activations that are there: a finished folder of `husai capture`, or a file of the user's.

    Raises:
        UserError: neither, or the folder is not finished.
    """
    if path.is_file():
        return activations_nodes(ExternalSource(path=str(path.resolve()), key=key, d_in=d_in), root_seed)[-1]
    return given_folder(path)


def train_alone(job: TrainJob, activations: Node, root: Path, workers: int) -> tuple[Path, dict[str, RunRecord]]:
    """Train and measure; writes a run folder per seed below `experiments/<name>/` and returns that folder.

    Raises:
        Refused: the rows are synthetic and their kind was not asked for by name (`--set synthetic=[planted]`).
    """
    if activations.given is not None:
        require_real(read_manifest(activations.given / "rows"), job.synthetic)
    for text in alone_warning(job.sae):
        events.warn(f"{text} (--set sae.supervised.weight=0)")
    results, seeds = Results(root), tuple(range(job.seeds))
    title = f"{job.name}: {job.seeds} seeds, {job.training.steps} steps"
    coupled = _coupled(job, activations)
    stack = stack_node(
        job.sae, job.training, job.training.steps, seeds, job.root_seed, activations, title, coupled=coupled
    )
    measure = measure_node(stack, activations, job.root_seed, f"measure {job.name}")
    steps = Steps(root, job.name, workers)
    reference = [coupled.reference] if coupled and coupled.reference else []
    records = steps.run([activations, *reference, stack, measure])
    folders = {n.id: folder_of(n, results) for n in (activations, stack, measure)}
    seed_job = SeedJob(job.name, activations.title, stack, measure, seeds)
    write_seed_folders([seed_job], results, job.name, folders, records, Ledger(results.study_folder(job.name)))
    return results.study_folder(job.name), {"stack": records[stack.id], "measure": records[measure.id]}


def _coupled(job: TrainJob, activations: Node) -> Coupled | None:
    """The coupling, with references of the same config and budget where it needs them.

    Raises:
        UserError: groups without a coupling, or of another size than the seeds allow.
    """
    if job.coupling is None:
        if job.group_size is not None:
            raise UserError("group_size divides the seeds of a coupling: set one, e.g. --set coupling.kind=joint")
        return None
    coupled = Coupled(job.coupling, None, job.group_size)
    groups = coupled.groups(range(job.seeds))
    if not job.coupling.needs_reference:
        return coupled
    steps, title = job.training.steps, f"{job.name}: reference, {job.training.steps} steps"
    reference = reference_node(job.sae, job.training, steps, job.root_seed, activations, title, groups)
    return replace(coupled, reference=reference)
