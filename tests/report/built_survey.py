"""A complete survey on disk without any training: real plan, real conclusion, real store; the measured numbers are made
up from what a test wants of each arm. Loaded by `tests/conftest.py` as the fixture `surveys`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from husai.activations.source import CapturedSource, PlantedSource
from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.sanity import SanityCheck, SanityReport
from husai.report.survey_site import write_survey_report
from husai.saes.config import BatchTopKConfig, ReluL1Config, TopKConfig
from husai.statistics.intervals import pair_mean, unit_mean
from husai.store.files import write_json
from husai.store.index import Results
from husai.store.layout import Draft, building
from husai.store.provenance import now, provenance
from husai.store.record import Measurement, RunRecord
from husai.store.tensors import save_arrays
from husai.studies.measured import measured, over_pairs, single
from husai.studies.node import Node
from husai.studies.study import Controls
from husai.studies.surveys.conclude import conclude_survey
from husai.studies.surveys.plan import SurveyPlan, first_budgets, survey_plan
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

S, F, STEPS, ID = 5, 12, 64, "fedcba9876543210"
TRAINING = TrainingConfig(steps=STEPS, batch=32)


@dataclass(frozen=True)
class Scores:
    """What is made up of an arm: stability on its source and on controls, quality, agreement with the truth."""

    stable: float = 0.8
    control: float = 0.4
    explained: float = 0.9
    truth: float = 0.97
    l0: float | None = None  # where it is not what was requested
    drift: float = 0.0  # what half of the budget has less of stability
    spread: float = 0.004  # between seeds


@dataclass
class BuiltSurvey:
    """Where the survey stands, its record and those behind it."""

    root: Path
    folder: Path
    record: RunRecord
    upstream: dict[str, tuple[RunRecord, Path]] = field(default_factory=dict)


SCORES = {
    "topk-2": Scores(stable=0.9, explained=0.8),
    "relu-2": Scores(stable=0.8, explained=0.9),
    "batchtopk-2": Scores(stable=0.6, explained=0.7),
    "topk-4": Scores(stable=0.7, explained=0.93),
    "relu-4": Scores(l0=5.0, explained=0.95),
    "batchtopk-4": Scores(drift=0.2, explained=0.85),
    "true": Scores(stable=0.95, truth=0.97),
    "false": Scores(stable=0.81, truth=0.73),
    "partly": Scores(stable=0.7, truth=0.8),
    "chance": Scores(stable=0.41, truth=0.5),
    "first": Scores(stable=0.8),
    "second": Scores(stable=0.7),
}


def survey() -> Survey:
    """Three settings: two requested L0s of three arms on a model, four arms on planted rows, and two not compared."""
    kinds = {"topk": TopKConfig(d_sae=F), "relu": ReluL1Config(d_sae=F), "batchtopk": BatchTopKConfig(d_sae=F)}
    arms = tuple(SurveyArm(name=f"{name}-{l0}", sae=sae, l0=l0) for l0 in (2, 4) for name, sae in kinds.items())
    model = CapturedSource(
        task=ModularConfig(p=5, train_fraction=0.5),
        model=TransformerConfig(n_layers=1, d_model=8, n_heads=2, d_mlp=8),
        pretrain=PretrainConfig(max_steps=10),
    )
    planted = PlantedSource(planted=PlantedConfig(d_in=10, n_features=F, n_active=2, n_rows=400))
    alone = {"training": TRAINING, "max_steps": STEPS, "controls": Controls(random_models=0)}
    settings = (
        Setting(name="model", title="a model of 1 layer", source=model, arms=arms, training=TRAINING, max_steps=STEPS),
        Setting(
            name="planted", title="planted rows", source=planted, **alone,
            arms=tuple(
                SurveyArm(name=name, sae=TopKConfig(d_sae=F + i), l0=3)
                for i, name in enumerate(("true", "false", "partly", "chance"))
            ),
        ),
        Setting(
            name="hooks", title="arms that read different hooks", source=planted, ranked=False, **alone,
            arms=tuple(
                SurveyArm(name=name, sae=TopKConfig(d_sae=F + 9 + i, k=3)) for i, name in enumerate(("first", "second"))
            ),
        ),
    )  # fmt: skip
    return Survey(name="built-survey", question="Which of 3 architectures?", settings=settings, remarks=("1 remark.",))


def build(
    root: Path,
    wanted: Survey | None = None,
    scores: Callable[[str], Scores] = lambda name: SCORES[name],
) -> BuiltSurvey:
    """Write every node and the survey itself below `root` (without forcing each file to the disk)."""
    with mock.patch("os.fsync"):
        return _build(root, survey_plan(wanted or survey(), first_budgets(wanted or survey())), scores)


def _build(root: Path, made: SurveyPlan, scores: Callable[[str], Scores]) -> BuiltSurvey:
    results, folders, records = Results(root), {}, {}
    for role, node in made.roles().items():
        if node.id in records:  # settings that read the same rows share them
            continue
        folders[node.id] = results.node_folder(node.kind, node.id)
        records[node.id] = _node(role, node, folders[node.id], made, scores)
    conclusion = conclude_survey(made, folders, records)
    parents = {role: node.id for role, node in made.roles().items()}
    name = made.survey.name
    folder = results.study_folder(name) / f"{name}_20260102_{ID[:8]}"
    with building(folder, ID) as draft:
        record = RunRecord(
            id=ID, kind="survey", name=name, status="ran", config=made.survey.plain(), parents=parents,
            provenance=provenance(now(), 1.25), measurements=conclusion.measurements, facts=conclusion.facts,
        )  # fmt: skip
        upstream = {role: (records[run], folders[run]) for role, run in parents.items()}
        write_survey_report(record, upstream, draft.path)
        record = draft.complete(record)
    return BuiltSurvey(root, folder, record, upstream)


def _node(role: str, node: Node, folder: Path, plan: SurveyPlan, scores: Callable[[str], Scores]) -> RunRecord:
    with building(folder, node.id) as draft:
        facts: dict[str, Any] = {}
        made = _KINDS[node.kind](role, node, draft, facts, plan, scores)
        seeds = node.parents["stack"].fields["seeds"] if node.kind == "measure" else node.fields.get("seeds", [])
        return draft.complete(
            RunRecord(
                id=node.id, kind=node.kind, name=node.title, status="ran", config=node.fields,
                seeds={"seeds": list(seeds)}, parents={r: p.id for r, p in node.parents.items()},
                provenance=provenance(now(), 1.25), measurements=tuple(made), facts=facts,
            )
        )  # fmt: skip


def _model(role: str, node: Node, draft: Draft, facts: dict[str, Any], *_: Any) -> list[Measurement]:
    check = SanityCheck("held_out", 0.997, 0.2, "at least", 0.99, "251 held-out rows answered correctly")
    facts["sanity"] = SanityReport("addition", 251, (check,)).plain()
    return [single("held_out_accuracy", 0.997, "share of rows", {}, "all rows")]


def _activations(role: str, node: Node, draft: Draft, facts: dict[str, Any], *_: Any) -> list[Measurement]:
    facts["rows"] = f"{role} (400 rows, 400 different, d_in 10)"
    return [single("rows", 400, "rows", {}, "a count")]


def _calibrate(role: str, node: Node, draft: Draft, facts: dict[str, Any], *_: Any) -> list[Measurement]:
    facts |= {"reached": "relu-4" not in role, "sae": node.fields["sae"], "tried": []}
    asked = node.fields["l0"]
    found = {"requested_l0": asked, "calibrated_l0": asked * 1.01, "knob": 3.25}
    return [single(name, value, "one number", {}, "exact") for name, value in found.items()]


def _stack(role: str, node: Node, draft: Draft, facts: dict[str, Any], *_: Any) -> list[Measurement]:
    warned = ["token 7 alone covers 99.0% of the rows"] if " model target topk-2 " in role else []
    facts |= {"engine": "reference", "why_engine": "asked for", "warnings": warned, "rows": "rows"}
    facts["sae"] = node.fields["sae"]
    return [single("steps", node.fields["training"]["steps"], "steps", {}, "a count")]


def _measure(
    role: str,
    node: Node,
    draft: Draft,
    facts: dict[str, Any],
    plan: SurveyPlan,
    scores: Callable[[str], Scores],
) -> list[Measurement]:
    facts["collapsed_seeds"] = []
    _, setting_name, source, arm_name, steps = role.split(" ")
    setting = next(s for s in plan.survey.settings if s.name == setting_name)
    arm, wanted = next(a for a in setting.arms if a.name == arm_name), scores(arm_name)
    seeds = len(node.parents["stack"].fields["seeds"])
    rng = np.random.default_rng([3, *role.encode()])
    level = (wanted.stable if source == "target" else wanted.control) - (
        wanted.drift if int(steps) < plan.budgets[setting_name, arm_name] else 0.0
    )
    matrices = {p: _matrix(rng, seeds, level - (0.01 if p == "all" else 0), wanted.spread) for p in ("alive", "all")}
    save_arrays(draft.path / "pairs.safetensors", {f"mcc_signed|{p}": m for p, m in matrices.items()})
    if source == "target":
        for seed in range(seeds):
            lines = [f"{feature},1,0.{feature:03d}" for feature in range(F)]
            (draft.path / f"features-seed{seed}.csv").write_text("\n".join(["feature,alive,frequency", *lines]) + "\n")
    write_json(draft.path / "trajectory.json", {})
    made = [over_pairs("mcc_signed", m, pair_mean, "cosine", {"population": p}) for p, m in matrices.items()]
    l0 = wanted.l0 or arm.l0 or 3.0
    each = {
        "explained_variance": wanted.explained + wanted.spread * rng.standard_normal(seeds) / 4,
        "l0": np.full(seeds, l0),
        "mse": 1 - wanted.explained + 0.001 * rng.random(seeds),
        "dead_share": np.zeros(seeds),
        "alive": np.full(seeds, float(F)),
        "cosine_to_init": 0.4 + 0.01 * np.arange(seeds),
    }
    if source == "target" and setting.source.kind == "planted":
        each["mcc_to_truth"] = wanted.truth + wanted.spread * rng.standard_normal(seeds) / 4
        each["mcc_to_truth_attainable"] = np.ones(seeds)
        each["matched_to_truth"] = each["mcc_to_truth"]
        each |= {f"recall_of_truth({t})": each["mcc_to_truth"] - t / 10 for t in (0.7, 0.9)}
    for name, values in each.items():
        listed = [float(v) for v in values]
        made += [single(name, v, "share, 80 rows", {"seed": str(s)}, "one seed") for s, v in enumerate(listed)]
        made.append(measured(name, unit_mean(listed, unit="seeds"), "share, 80 rows", {}))
    made.append(
        measured("own_nearest_neighbour", unit_mean([0.3] * seeds, unit="seeds"), "cosine", {"population": "alive"})
    )
    return made


def _matrix(rng: np.random.Generator, seeds: int, level: float, spread: float) -> np.ndarray:
    """Symmetric, with effects of seeds."""
    own = spread * rng.standard_normal(seeds) / 4
    matrix = level + own[:, None] + own[None, :]
    np.fill_diagonal(matrix, 1.0)
    return matrix


_KINDS = {
    "model": _model, "activations": _activations, "calibrate": _calibrate, "stack": _stack, "measure": _measure,
}  # fmt: skip
