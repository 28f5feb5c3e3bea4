"""The study's own record: what every arm scored on every source, every contrast, convergence, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from husai.statistics.convergence import Convergence
from husai.statistics.decision import Decision
from husai.statistics.estimate import at_level
from husai.statistics.wording import what_varied
from husai.store.record import Measurement, RunRecord
from husai.studies.evidence import (
    STATISTIC,
    Measured,
    concerns,
    controls,
    difference,
    excess,
    gather,
    judge,
    stability,
)
from husai.studies.heads import left_out
from husai.studies.measured import measured
from husai.studies.plan import GAUSSIAN, GAUSSIAN_2, PLANTED, PLANTED_GAUSSIAN, RANDOM_MODEL, TARGET, Plan, has_planes
from husai.studies.recovered import recovered

TRUTH = (
    "mcc_to_truth", "mcc_to_truth_attainable", "matched_to_truth",
    "precision_to_truth(0.7)", "recall_of_truth(0.7)", "firings_of_truth_found(0.7)",
    "precision_to_truth(0.9)", "recall_of_truth(0.9)", "firings_of_truth_found(0.9)",
)  # fmt: skip
COPIED = ("explained_variance", "l0", "dead_share", "alive", "cosine_to_init", "own_nearest_neighbour", *TRUTH)


@dataclass(frozen=True)
class Conclusion:
    """Verdict and convergence at the arms' budgets, with everything that goes into the study's record."""

    decision: Decision
    trained: Mapping[tuple[str, str], Convergence]
    measurements: tuple[Measurement, ...]
    facts: dict[str, Any]


def conclude(plan: Plan, folders: Mapping[str, Path], records: Mapping[str, RunRecord]) -> Conclusion:
    """Judge a plan whose nodes are all done."""
    m = gather(plan, folders, records)
    decision, trained = judge(m)
    made = [*_stabilities(m), *_contrasts(m), *_changes(trained), *_copied(plan, records)]
    return Conclusion(decision, trained, tuple(made), _facts(plan, m, records, decision, trained))


def _stabilities(m: Measured) -> list[Measurement]:
    made = []
    for source in _sources(m):
        for arm in m.arms():
            for population in ("alive", "all"):
                scope = {"source": source, "arm": arm, "population": population}
                estimate = stability(m, source, arm, population)
                made.append(measured(STATISTIC, estimate, "cosine", scope, higher_is_better=True))
    return made


def _sources(m: Measured) -> list[str]:
    sources = [TARGET, GAUSSIAN, GAUSSIAN_2]
    if m.study.positive is not None:
        sources += [PLANTED, PLANTED_GAUSSIAN]
    return [*sources, RANDOM_MODEL] if m.random_models else sources


def _contrasts(m: Measured) -> list[Measurement]:
    made = []
    for source in _sources(m):
        for population in ("alive", "all"):
            scope = {"source": source, "population": population}
            made.append(measured("difference", difference(m, source, population), "cosine, a minus b", scope))
    pairs = [(TARGET, c) for c in controls(m)] + [(GAUSSIAN, GAUSSIAN_2)]
    if m.study.positive is not None:
        pairs.append((PLANTED, PLANTED_GAUSSIAN))
    for source, control in pairs:
        for population in ("alive", "all"):
            estimate = excess(m, source, control, population)
            for level in (0.95, 0.90):
                scope = {"source": source, "control": control, "population": population, "level": f"{level:.2f}"}
                unit = "cosine, (a minus b) beyond the control"
                made.append(measured("excess", at_level(estimate, level), unit, scope, null=control))
    return made


def _changes(trained: Mapping[tuple[str, str], Convergence]) -> list[Measurement]:
    """Bound on the change of the statistic, and the change of explained variance, from T/2 to T."""
    made = []
    for (source, arm), c in trained.items():
        scope = {"source": source, "arm": arm}
        limits = {
            "statistic_change_bound": (c.statistic, "cosine"),
            "explained_variance_change": (c.explained_variance, "share"),
        }
        for name, (check, unit) in limits.items():
            reason = "" if check.value is not None else check.words
            text = f"must stay below {check.limit:g}; from {c.steps_half} to {c.steps_full} steps"
            made.append(
                Measurement(name=name, value=check.value, reason=reason, unit=unit, scope=scope, no_interval=text)
            )
    return made


def _copied(plan: Plan, records: Mapping[str, RunRecord]) -> list[Measurement]:
    """What the tables show beside the stability, from the measure nodes of the final budget."""
    made = []
    for (source, arm), node in plan.final.items():
        for measurement in records[node.id].measurements:
            if measurement.name in COPIED and set(measurement.scope) <= {"population"}:
                scope = measurement.scope | {"source": source, "arm": arm}
                made.append(measurement.model_copy(update={"scope": scope, "artefacts": (f"{node.id}:metrics.json",)}))
    return made


def _facts(
    plan: Plan,
    m: Measured,
    records: Mapping[str, RunRecord],
    decision: Decision,
    trained: Mapping[tuple[str, str], Convergence],
) -> dict[str, Any]:
    study = plan.study
    final = list(plan.final.values())
    warnings = {text for node in plan.stacks.values() for text in records[node.id].facts["warnings"]}
    shared = {
        records[n.id].facts["shared_initialisation"] for n in final if records[n.id].facts["initialisation_is_shared"]
    }
    stack = next(iter(plan.stacks.values()))
    found = {f"{source} {arm}": recovered(records[node.id]) for (source, arm), node in plan.final.items()}
    known = {where: recovery for where, recovery in found.items() if recovery is not None}
    wrong = [f"{where}: {recovery.words}" for where, recovery in known.items() if recovery.shared_errors]
    return {
        "question": study.question,
        "hypothesis": study.hypothesis,
        "verdict": decision.plain(),
        "convergence": [
            {"source": source, "arm": arm, **c.plain(), "words": c.words()} for (source, arm), c in trained.items()
        ],
        "budgets": [{"arm": arm, "steps": steps} for arm, steps in plan.budgets.items()],
        "budgets_allowed": study.budgets,
        "what_varied": what_varied(study.training.vary),
        "data": study.training.data,
        "engine": records[stack.id].facts["engine"],
        "why_engine": records[stack.id].facts["why_engine"],
        "sources": {name: records[node.id].facts["rows"] for name, node in plan.activations.items()},
        "caveats": [*(c.text for c in concerns(m) if not c.blocks), *wrong, *left_out(arm.sae for arm in study.arms)],
        "recovery": [f"{where}: {recovery.words}" for where, recovery in known.items()],
        "warnings": sorted(warnings | shared),
        "remarks": list(study.remarks),
        "not_run": not_run(plan),
    }


def not_run(plan: Plan) -> list[str]:
    """What a reader might expect and will not find, in words."""
    study = plan.study
    found = [
        "causal effects of single latents on the model's answers",
        "other architectures than those of the two arms",
        "level checks by a frozen encoder, a soft-frozen decoder, a permuted decoder and PCA",
        "other models than the one read here: the verdict is about this checkpoint, over these initialisations",
    ]
    if study.training.data == "shared":
        found.append("arms with disjoint data: all seeds saw the same rows")
    if study.positive is None:
        found.append("a positive control: without one there is no verdict")
    if not study.has_model:
        found += ["random-weight models: the activations come without a model", "splicing into a model: there is none"]
        return found
    if not study.controls.random_models:
        found.append("random-weight models: switched off in the study")
    if not has_planes(study):
        found.append("Fourier planes: they need an odd modulus")
    return found
