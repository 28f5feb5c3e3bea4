"""A complete study on disk without any training: real plan, real conclusion, real store; the measured numbers are made
up from a random dictionary of known agreement. Loaded by `tests/conftest.py` as the fixture `build_study`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from husai.activations.source import CapturedSource, PlantedSource
from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.sanity import SanityCheck, SanityReport
from husai.report.site import write_report
from husai.saes.config import TopKConfig
from husai.stability.features import feature_table
from husai.stability.matching import match_all
from husai.stability.pairwise import pairwise
from husai.statistics.intervals import pair_mean, unit_mean
from husai.store.files import write_json
from husai.store.index import Results
from husai.store.layout import RECORD, Draft, building, list_artefacts, mark, metrics, read_record
from husai.store.provenance import now, provenance
from husai.store.record import Measurement, Provenance, RunRecord
from husai.store.tensors import save_arrays
from husai.studies.conclude import conclude
from husai.studies.measured import measured, over_pairs, single
from husai.studies.node import Node
from husai.studies.plan import plan
from husai.studies.study import Arm, Study
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

S, F, D, STEPS = 5, 12, 10, 64
# How alike the seeds of each source are: the noise put on one shared dictionary, for arm a and arm b.
NOISE = {
    "target": (0.1, 1.4), "planted": (0.1, 1.4), "gaussian": (1.0, 1.05), "gaussian-2": (1.0, 1.05),
    "planted-gaussian": (1.0, 1.05),
}  # fmt: skip
RANDOM_NOISE = (1.0, 1.05)


@dataclass
class Built:
    """Where the study stands, its record and those behind it."""

    root: Path
    folder: Path
    record: RunRecord
    upstream: dict[str, tuple[RunRecord, Path]] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a test changes: the study, the noise of a source, seeds of `source arm` that collapsed, facts of nodes."""

    study: dict[str, Any] = field(default_factory=dict)
    noise: dict[str, tuple[float, float]] = field(default_factory=dict)
    collapsed: dict[str, int] = field(default_factory=dict)
    alter: Callable[[Node, list[Measurement], dict[str, Any]], list[Measurement]] | None = None
    model: bool = True


def study(wanted: Wanted) -> Study:
    """Two arms, every control."""
    target: Any = CapturedSource(
        task=ModularConfig(p=5, train_fraction=0.5),
        model=TransformerConfig(n_layers=1, d_model=8, n_heads=2, d_mlp=8),
        pretrain=PretrainConfig(max_steps=10),
    )
    planted = PlantedSource(planted=PlantedConfig(d_in=D, n_features=F, n_active=2, n_rows=400))
    fields: dict[str, Any] = {
        "name": "built",
        "question": "Are the features of k = 2 more reproducible than those of k = 4?",
        "hypothesis": "k = 2 is more reproducible by more than the margin",
        "target": target if wanted.model else PlantedSource(planted=PlantedConfig(d_in=D, n_features=F, n_active=3)),
        "positive": planted,
        "arms": (Arm(name="k2", sae=TopKConfig(d_sae=F, k=2)), Arm(name="k4", sae=TopKConfig(d_sae=F, k=4))),
        "factor": "k",
        "seeds": S,
        "training": TrainingConfig(steps=STEPS, batch=32),
        "max_steps": STEPS,
        "remarks": ("What is known beforehand: 1 remark.",),
    }
    return Study(**(fields | wanted.study))


def build(root: Path, wanted: Wanted | None = None) -> Built:
    """Write every node and the study itself below `root` (without forcing each file to the disk)."""
    with mock.patch("os.fsync"):
        return _build(root, wanted)


def _build(root: Path, wanted: Wanted | None) -> Built:
    asked = wanted or Wanted()
    made = plan(study(asked), STEPS)
    results, folders, records = Results(root), {}, {}
    for role, node in made.roles().items():
        folder = results.node_folder(node.kind, node.id)
        records[node.id] = _node(role, node, folder, asked)
        folders[node.id] = folder
    conclusion = conclude(made, folders, records)
    parents = {role: node.id for role, node in made.roles().items()}
    folder = results.study_folder("built") / "built_20260102_0123456789"
    with building(folder, "0123456789abcdef") as draft:
        record = RunRecord(
            id="0123456789abcdef",
            kind="study",
            name="built",
            status="ran",
            config=made.study.plain(),
            seeds={"seeds": S},
            parents=parents,
            provenance=_provenance(),
            measurements=conclusion.measurements,
            facts=conclusion.facts,
        )
        upstream = {role: (records[run], folders[run]) for role, run in parents.items()}
        write_report(record, upstream, draft.path)
        record = draft.complete(record)
    return Built(root, folder, record, upstream)


def _provenance() -> Provenance:
    return provenance(now(), 1.25)


def _node(role: str, node: Node, folder: Path, wanted: Wanted) -> RunRecord:
    with building(folder, node.id) as draft:
        facts: dict[str, Any] = {}
        made = _KINDS[node.kind](role, draft, facts, wanted)
        if wanted.alter is not None:
            made = wanted.alter(node, made, facts)
        seeds = (
            {"seeds": node.fields.get("seeds") or list(range(seeds_of(role, wanted)))}
            if node.kind in ("stack", "measure")
            else {}
        )
        record = RunRecord(
            id=node.id,
            kind=node.kind,
            name=node.title,
            status="ran",
            config=node.fields,
            seeds=seeds,
            parents={r: p.id for r, p in node.parents.items()},
            provenance=_provenance(),
            measurements=tuple(made),
            facts=facts,
        )
        return draft.complete(record)


def seeds_of(role: str, wanted: Wanted) -> int:
    """How many seeds a role has."""
    return 2 if "random-model" in role else wanted.study.get("seeds", S)


def _model(role: str, draft: Draft, facts: dict[str, Any], wanted: Wanted) -> list[Measurement]:
    checks = (
        SanityCheck("held_out", 0.997, 0.2, "at least", 0.99, "251 held-out rows answered correctly"),
        SanityCheck("answer_swap", None, 0.2, "at most", 0.25, "predictions that follow", "no token tells it"),
    )
    facts["sanity"] = SanityReport("addition", 251, checks).plain()
    save_arrays(draft.path / "model.safetensors", {"W": np.zeros(2)})
    return [single("held_out_accuracy", 0.997, "share of rows", {}, "all rows"), _count("pretrain_steps", 10)]


def _activations(role: str, draft: Draft, facts: dict[str, Any], wanted: Wanted) -> list[Measurement]:
    facts["rows"] = f"rows of {role.split(' ')[1]} (400 rows, 400 different, d_in {D})"
    write_json(draft.path / "manifest.json", {"rows": 400})
    return [_count("rows", 400)]


def _stack(role: str, draft: Draft, facts: dict[str, Any], wanted: Wanted) -> list[Measurement]:
    warned = ["token 7 alone covers 99.0% of the rows"] if role.startswith("stack target") else []
    facts |= {"engine": "reference", "why_engine": "asked for", "warnings": warned, "rows": "rows"}
    write_json(draft.path / "history.json", {})
    return [_count("steps", STEPS)]


def _count(name: str, value: float) -> Measurement:
    return single(name, value, "steps" if "steps" in name else "rows", {}, "a count")


def _dictionaries(source: str, arm: int, steps: int, wanted: Wanted) -> np.ndarray:
    """[S, F, D]: one dictionary and noise of the source; half the budget gives almost the same."""
    noise = (NOISE | wanted.noise).get(source, RANDOM_NOISE)[arm]
    seeds = seeds_of(source, wanted)
    rng = np.random.default_rng([7, *source.removesuffix("-2").encode(), arm])
    shared, own = rng.standard_normal((F, D)), rng.standard_normal((seeds, F, D))
    wobble = np.random.default_rng(steps).standard_normal((seeds, F, D))
    W, n = shared + noise * own + 0.001 * wobble, wanted.collapsed.get(f"{source} {('k2', 'k4')[arm]}", 0)
    W[:n] = shared[0] + 0.01 * wobble[:n]  # every row near one direction, the same for all seeds
    return W.astype(np.float32)


def _measure(role: str, draft: Draft, facts: dict[str, Any], wanted: Wanted) -> list[Measurement]:
    _, source, arm_name, steps = role.split(" ")
    arm = ("k2", "k4").index(arm_name)
    W = _dictionaries(source, arm, int(steps), wanted)
    seeds = len(W)
    alive = np.ones((seeds, F), dtype=bool)
    alive[:, -1] = arm == 1  # the last latent of arm a is dead
    pairs, matches = pairwise(W, W, alive, d_in=D), match_all(W, alive)
    save_arrays(draft.path / "pairs.safetensors", {f"{m}|{p}": v for (m, p), v in pairs.values.items()})
    save_arrays(draft.path / "heatmap.safetensors", {"cosine_FF": W[0] @ W[1].T / (D * 2)})
    curve = {"steps": [0, 16, STEPS], "mcc_signed_alive": [0.3, 0.4, 0.5], "cosine_to_init": [1.0, 0.7, None]}
    write_json(draft.path / "trajectory.json", curve | {"mcc_signed_all": [0.3, 0.4, 0.5]})
    frequency = np.where(alive[0], np.linspace(0.01, 0.4, F), 0.0)
    for seed in range(seeds):
        table = feature_table(seed, W, matches, frequency_F=frequency, explained_variance_F=frequency / 8)
        table.to_csv(draft.path / f"features-seed{seed}.csv")
    counts = {"dead": int((~alive[0]).sum()), "-inf..-5": 0, "-2..-1.5": 3, "-1..-0.5": int(alive[0].sum()) - 3}
    facts |= {
        "density": [counts] * seeds,
        "collapsed_seeds": list(pairs.collapsed),
        "shared_initialisation": "initialisations are independent",
        "initialisation_is_shared": False,
        "distance_from_start": f"cosine of alive rows to their own initialisation 0.{41 + arm} after {steps} steps",
    }
    return _numbers(source, arm, seeds, pairs, int(alive[0].sum()))


def _numbers(source: str, arm: int, seeds: int, pairs: Any, alive: int) -> list[Measurement]:
    made = []
    for metric, population in pairs.values:
        scope, unit = {"population": population}, "cosine"
        made.append(over_pairs(metric, pairs.matrix(metric, population), pair_mean, unit, scope))
        if (floors := pairs.floors(metric, population)) is not None:
            made.append(single(f"{metric}.floor", float(np.nanmean(floors)), unit, scope, "expectation"))
            normal = pairs.normalised(metric, population)
            made.append(over_pairs(f"{metric}.normalised", normal, pair_mean, "(v - floor)/(1 - floor)", scope))
    for population in ("alive", "all"):
        own = [o.mean for o in pairs.own[population]]
        mean, scope = unit_mean(own, unit="seeds"), {"population": population}
        made.append(measured("own_nearest_neighbour", mean, "cosine", scope))
    each = {
        "explained_variance": [0.95 - 0.01 * s - 0.1 * arm for s in range(seeds)],
        "l0": [float(2 + 2 * arm)] * seeds,
        "dead_share": [0.0] * seeds,
        "alive": [float(alive)] * seeds,
        "cosine_to_init": [0.4 + 0.01 * s for s in range(seeds)],
    }
    if source == "planted":
        each["mcc_to_truth"] = [0.8 - 0.01 * s - 0.2 * arm for s in range(seeds)]
        each["precision_to_truth(0.7)"] = [0.7 - 0.01 * s - 0.2 * arm for s in range(seeds)]
    for name, values in each.items():
        made += [single(name, v, "share, 80 rows", {"seed": str(s)}, "one seed") for s, v in enumerate(values)]
        made.append(measured(name, unit_mean(values, unit="seeds"), "share, 80 rows", {}))
    low = {"stratum": "firing frequency 0 to 0.1"}
    made.append(single("mcc_signed.stratum", 0.25 + 0.1 * arm, "cosine", low, "one stratum"))
    return made


def _splice(role: str, draft: Draft, facts: dict[str, Any], wanted: Wanted) -> list[Measurement]:
    clean, spliced, references = 0.02, 0.07, {"zero": 3.35, "mean": 3.0, "frozen": 0.55}
    made = []
    for name, ce in {"clean": clean, "sae": spliced, **references}.items():
        for metric, value in {"cross_entropy": ce, "kl": ce - clean, "accuracy": 1 - ce / 4}.items():
            made.append(single(metric, value, "nats", {"replacement": name}, "computed on every held-out row"))
    for name, ce in references.items():
        share = (ce - spliced) / (ce - clean)
        made.append(single("loss_recovered", share, "1 = as good as clean", {"zero_point": name}, "one number"))
    facts["rows"] = 12
    return made


def _fourier(role: str, draft: Draft, facts: dict[str, Any], wanted: Wanted) -> list[Measurement]:
    overlap = measured("fourier_overlap", unit_mean([0.4, 0.5, 0.45, 0.42, 0.47], unit="seeds"), "share", {})
    energy = [single("frequency_energy", 0.6, "share", {"frequency": f}, "exact") for f in ("2", "all")]
    return [overlap, single("fourier_overlap.chance", 0.08, "share", {}, "4096 random rows"), *energy]


_KINDS = {
    "model": _model, "activations": _activations, "stack": _stack, "measure": _measure, "splice": _splice,
    "fourier": _fourier,
}  # fmt: skip


def copy(built: Built, root: Path) -> Built:
    """The same study in another place, to be changed at will."""
    shutil.copytree(built.root, root)
    moved = {role: (record, root / folder.relative_to(built.root)) for role, (record, folder) in built.upstream.items()}
    return Built(root, root / built.folder.relative_to(built.root), built.record, moved)


def reseal(folder: Path, **changes: Any) -> RunRecord:
    """Make record.json and the marker agree again with what now lies in a run folder, as a forger would."""
    record = read_record(folder).model_copy(update=changes)
    write_json(folder / "metrics.json", metrics(record))
    record = record.model_copy(update={"artefacts": list_artefacts(folder)})
    write_json(folder / RECORD, record.plain())
    mark(folder)
    return record
