"""One run folder per trained seed, in the layout and under the naming rule of the experiment programme.

    <phase>_<task>_<arch>_dsae<d>_k<k>_seed<seed>_<date>/
      config.yaml  metrics.json  summary.md  plots/training.png  checkpoints/sae.safetensors  record.json  COMPLETE

The shared stack stays a node that the folder references; folders are found by id, never by parsing a name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from husai.events import check_stop, report
from husai.report.training import training_plot
from husai.saes.config import k_label
from husai.saes.stack import SAEStack, load_stack
from husai.store.files import make_folder, read_json, write_text
from husai.store.identity import node_id
from husai.store.index import Results
from husai.store.layout import building, free_name, is_complete, read_record, recover, run_name
from husai.store.provenance import now, provenance
from husai.store.record import Measurement, RunRecord
from husai.studies.coupled import BETWEEN, WITHIN
from husai.studies.ledger import Ledger
from husai.studies.node import Node
from husai.studies.plan import Plan


@dataclass(frozen=True)
class SeedJob:
    """One trained stack whose seeds get a folder each: phase and task of the name, and where the numbers are."""

    phase: str
    task: str
    stack: Node
    measure: Node
    seeds: tuple[int, ...]


def jobs_of(plan: Plan) -> list[SeedJob]:
    """The stacks at the arms' budgets."""
    return [
        SeedJob(plan.study.name, source, node, plan.measures[source, arm, steps], plan.seeds_of(source))
        for (source, arm, steps), node in plan.stacks.items()
        if steps == plan.budgets[arm]
    ]


def write_seed_folders(
    jobs: list[SeedJob],
    results: Results,
    study: str,
    folders: Mapping[str, Path],
    records: Mapping[str, RunRecord],
    ledger: Ledger,
) -> None:
    """Write the folder of every seed that has none yet, below `experiments/<study>/`."""
    base = results.study_folder(study)
    done = _present(base)
    for number, job in enumerate(jobs):
        report("seed folders", "one folder per seed", number, len(jobs))
        for seed in [s for s in job.seeds if seed_id(job.stack, s) not in done]:
            check_stop()
            stack = load_stack(folders[job.stack.id] / "stack.safetensors")
            name = _name(job, stack, seed, ledger.first_start(job.stack.id))
            history = folders[job.stack.id] / "history.json"
            _write(_place(base / name), job, seed, stack, history, records)
            done.add(seed_id(job.stack, seed))
    report("seed folders", "one folder per seed", len(jobs), len(jobs))


def seed_id(stack: Node, seed: int) -> str:
    """Id of one seed of a stack."""
    return node_id("seed", {"stack": stack.id, "seed": seed})


def _present(base: Path) -> set[str]:
    folders = [p.parent for p in base.glob("*/record.json") if not p.parent.name.startswith(".")]
    return {read_record(folder).id for folder in folders if recover(folder)}


def _name(job: SeedJob, stack: SAEStack, seed: int, date: str) -> str:
    config = stack.config
    return run_name(job.phase, job.task, config.kind, config.d_sae, k_label(config), seed, date)


def _place(wanted: Path) -> Path:
    """The folder of that name; numbered where another run of the day (another lr, say) has taken it."""
    return free_name(wanted) if is_complete(wanted) else wanted


def _write(
    final: Path, job: SeedJob, seed: int, stack: SAEStack, history: Path, records: Mapping[str, RunRecord]
) -> None:
    started, clock, run, trained = now(), time.monotonic(), seed_id(job.stack, seed), records[job.stack.id]
    with building(final, run) as draft:
        made = _measurements(records[job.measure.id], seed)
        make_folder(draft.path / "checkpoints")
        make_folder(draft.path / "plots")
        position = stack.seeds.index(seed)
        stack.single(position).save(draft.path / "checkpoints" / "sae.safetensors")
        training_plot(read_json(history), position, trained.name, draft.path / "plots" / "training.png")
        write_text(draft.path / "summary.md", _summary(final.name, trained, made))
        record = RunRecord(
            id=run,
            kind="seed",
            name=final.name,
            status="ran",
            config=trained.config | {"seed": seed},
            seeds={"seed": seed, "root": trained.config["root_seed"]},
            parents={"stack": trained.id, "measure": records[job.measure.id].id},
            provenance=provenance(started, time.monotonic() - clock),
            measurements=tuple(made),
            facts={name: trained.facts[name] for name in ("engine", "rows", "warnings")},
        )
        draft.complete(record)


def _measurements(measured: RunRecord, seed: int) -> list[Measurement]:
    """The seed's own numbers, and those of the group that it is part of."""
    own = [m for m in measured.measurements if m.scope.get("seed") == str(seed)]
    shown = ("mcc_signed", BETWEEN, WITHIN)
    group = [m for m in measured.measurements if m.name in shown and "seed" not in m.scope]
    marked = [
        m.model_copy(update={"scope": m.scope | {"over": "all seeds of the stack"}, "artefacts": ()}) for m in group
    ]
    return own + marked


def _summary(name: str, trained: RunRecord, made: list[Measurement]) -> str:
    """What was trained and what came out, from the record."""
    lines = [f"# {name}", "", trained.name, "", "| what | value | unit |", "|---|---:|---|"]
    for m in made:
        value = f"missing: {m.reason}" if m.value is None else f"{m.value:.6g}"
        lines.append(f"| {m.key} | {value} | {m.unit} |")
    return "\n".join(lines) + "\n"
