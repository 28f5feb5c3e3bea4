"""A survey's own record: every arm's numbers on its source and on the controls, what may be ranked, and the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from husai.statistics.convergence import Convergence, converged_on, not_converged
from husai.statistics.decision import call
from husai.statistics.estimate import Estimate, at_level
from husai.statistics.intervals import unit_mean
from husai.statistics.pareto import Standing, standings
from husai.statistics.wording import what_varied
from husai.store.record import Measurement, RunRecord
from husai.studies.claims.verdict import judge_claims
from husai.studies.claims.words import claim_facts, claim_measurements
from husai.studies.coupled import WITHIN
from husai.studies.evidence import STATISTIC
from husai.studies.heads import left_out
from husai.studies.measured import measured, single
from husai.studies.plan import TARGET
from husai.studies.surveys.evidence import NO_STATEMENT, NOTHING, ArmEvidence
from husai.studies.surveys.plan import SurveyPlan
from husai.studies.surveys.survey import MATCHED, Setting
from husai.studies.surveys.words import answer, comparisons, truth

TRUTH = (
    "mcc_to_truth", "mcc_to_truth_attainable", "matched_to_truth",
    "precision_to_truth(0.7)", "recall_of_truth(0.7)", "firings_of_truth_found(0.7)",
    "precision_to_truth(0.9)", "recall_of_truth(0.9)", "firings_of_truth_found(0.9)",
)  # fmt: skip
HEAD = ("head_accuracy", "head_accuracy.task_held_out", "head_accuracy.majority")
COPIED = (
    "explained_variance", "mse", "l0", "dead_share", "alive", "cosine_to_init", "own_nearest_neighbour", WITHIN, *TRUTH,
    *HEAD,
)  # fmt: skip
Key = tuple[str, str]  # setting and arm


@dataclass(frozen=True)
class SurveyConclusion:
    """Convergence of every arm, with everything that goes into the survey's record."""

    trained: Mapping[Key, Mapping[str, Convergence]]
    measurements: tuple[Measurement, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Judged:
    """An arm with what may be said of it."""

    evidence: ArmEvidence
    trained: Mapping[str, Convergence]
    says: str

    @property
    def reasons(self) -> list[str]:
        """Why the arm takes part in no comparison; empty where it does."""
        found, arm = [], self.evidence.arm
        if not self.evidence.setting.ranked:
            found.append("this table ranks nothing")
        elif arm.l0 is None:
            found.append("unmatched: no L0 was requested")
        for group, matched in self.evidence.matched.items() if arm.l0 is not None else ():
            if not matched:
                got = self.evidence.mean("l0", group)
                found.append(f"unmatched: L0 on {group} is {got:.4g} where {arm.l0:g} was requested")
        early = not_converged(self.trained)
        return [*found, *([early] if early else []), *self.evidence.flaws]


def conclude_survey(
    plan: SurveyPlan, folders: Mapping[str, Path], records: Mapping[str, RunRecord]
) -> SurveyConclusion:
    """Judge a survey whose nodes are all done."""
    margin, judged = plan.survey.margin, {}
    for setting in plan.survey.settings:
        for arm in setting.arms:
            evidence = ArmEvidence(plan, setting, arm, folders, records)
            said = NO_STATEMENT if evidence.flaws else evidence.says(margin)
            judged[setting.name, arm.name] = _Judged(evidence, evidence.trained(margin), said)
    claims = judge_claims(
        plan, {key: found.evidence for key, found in judged.items()}, {key: f.trained for key, f in judged.items()}
    )
    made = [m for found in judged.values() for m in _measurements(found)]
    made += [m for found in claims for m in claim_measurements(found)]
    ranks = {key: where for setting in plan.survey.settings for key, where in _ranks(setting, judged).items()}
    trained = {key: found.trained for key, found in judged.items()}
    facts = _facts(plan, judged, ranks, records) | {"claims": [claim_facts(found) for found in claims]}
    return SurveyConclusion(trained, tuple(made), facts | _words(facts, made))


def _words(facts: dict[str, Any], made: list[Measurement]) -> dict[str, Any]:
    """The answer of every table and of all of them, and what may be said of the truth where it is known."""
    by_place = {(m.name, frozenset(m.scope.items())): m for m in made}
    arms = [arm | {"truth": _truth(arm, by_place, facts["margin"])} for arm in facts["arms"]]
    found = comparisons(facts["settings"], arms, facts["claims"])
    return {"arms": arms, "comparisons": found, "answer": answer(found, facts["claims"], arms)}


def _truth(arm: dict[str, Any], by_place: Mapping[Any, Measurement], margin: float) -> dict[str, str] | None:
    where = {"setting": arm["setting"], "arm": arm["arm"], "source": TARGET}
    wanted = [(STATISTIC, where | {"population": "alive"}), *((name, where) for name in TRUTH[:2])]
    between, to_truth, most = (by_place.get((name, frozenset(scope.items()))) for name, scope in wanted)
    return truth(arm, between, to_truth, most, margin)


def _scope(e: ArmEvidence, **more: str) -> dict[str, str]:
    return {"setting": e.setting.name, "arm": e.arm.name} | more


def _measurements(found: _Judged) -> list[Measurement]:
    e = found.evidence
    return [*_stabilities(e), *_excesses(e), *_copied(e), *_changes(e, found.trained), *_extra(e)]


def _stabilities(e: ArmEvidence) -> list[Measurement]:
    made = []
    for group in e.groups:
        for population in ("alive", "all"):
            scope = _scope(e, source=group, population=population)
            made.append(_known(STATISTIC, e.stability(group, population), "cosine", scope, better=True))
        scope = _scope(e, source=group)
        if group != TARGET:
            made.append(single("l0", e.mean("l0", group), "latents per row", scope, "a mean over seeds"))
    return made


def _excesses(e: ArmEvidence) -> list[Measurement]:
    """Over each control, at 95 % and, for `not beyond`, at 90 %."""
    made = []
    for control in e.controls:
        estimate = e.excess(control)
        for level in (0.95, 0.90):
            scope = _scope(e, control=control, level=f"{level:.2f}")
            leveled = None if estimate is None else at_level(estimate, level)
            made.append(_known("excess", leveled, "cosine, on the source less on the control", scope, null=control))
    least = e.least_excess()
    made.append(_known("least_excess", least, "cosine, over the control that leaves least", _scope(e), better=True))
    return made


def _known(
    name: str,
    estimate: Estimate | None,
    unit: str,
    scope: dict[str, str],
    *,
    better: bool | None = None,
    null: str = "",
) -> Measurement:
    if estimate is None:
        return single(name, None, unit, scope, NOTHING, higher_is_better=better, null=null)
    return measured(name, estimate, unit, scope, higher_is_better=better, null=null)


def _copied(e: ArmEvidence) -> list[Measurement]:
    """What the tables show beside the stability, from the measure node of the source itself."""
    node, made = e.node(TARGET), []
    for m in e.records[node.id].measurements:
        if m.name in COPIED and set(m.scope) <= {"population"}:
            scope = _scope(e, source=TARGET) | m.scope
            made.append(m.model_copy(update={"scope": scope, "artefacts": (f"{node.id}:metrics.json",)}))
    return made


def _extra(e: ArmEvidence) -> list[Measurement]:
    """What was asked of the final SAEs only, as far as it has been computed: levels, decoder projections."""
    made = []
    for nodes in (e.plan.levels, e.plan.projections):
        node = nodes.get((e.setting.name, e.arm.name))
        for m in e.records[node.id].measurements if node is not None and node.id in e.records else ():
            if "seed" not in m.scope:
                artefacts = (f"{node.id}:metrics.json",) if node is not None else ()
                made.append(m.model_copy(update={"scope": _scope(e) | m.scope, "artefacts": artefacts}))
    return made


def _changes(e: ArmEvidence, trained: Mapping[str, Convergence]) -> list[Measurement]:
    """Bound on the change of the statistic, and the change of explained variance, from T/2 to T."""
    made = []
    for group, c in trained.items():
        limits = {
            "statistic_change_bound": (c.statistic, "cosine"),
            "explained_variance_change": (c.explained_variance, "share"),
        }
        for name, (check, unit) in limits.items():
            text = f"must stay below {check.limit:g}; from {c.steps_half} to {c.steps_full} steps"
            why = text if check.value is not None else check.words
            made.append(single(name, check.value, unit, _scope(e, source=group), why))
    return made


def _ranks(setting: Setting, judged: Mapping[Key, _Judged]) -> dict[Key, dict[str, Any]]:
    """Within each requested L0, arms that are matched and converged: their order and their place on the front."""
    found: dict[Key, dict[str, Any]] = {}
    for l0 in sorted({arm.l0 for arm in setting.arms if arm.l0 is not None}):
        points = {}
        for arm in setting.arms:
            one = judged[setting.name, arm.name]
            least, quality = one.evidence.least_excess(), _quality(one.evidence)
            if arm.l0 == l0 and not one.reasons and least is not None and quality is not None:
                points[arm.name] = (quality, least)
        order = sorted(points, key=lambda name: -points[name][1].value)
        for name, where in standings(points).items():
            found[setting.name, name] = _place(where, order.index(name) + 1, len(order))
    return found


def _place(where: Standing, rank: int, of: int) -> dict[str, Any]:
    return {"rank": rank, "of": of, "on_front": where.on_front, "surely_behind": list(where.surely_behind)}


def _quality(e: ArmEvidence) -> Estimate | None:
    """Explained variance over seeds."""
    values, unit = e.by_unit("explained_variance")
    return None if values is None else unit_mean(values, unit=unit)


def _facts(
    plan: SurveyPlan,
    judged: Mapping[Key, _Judged],
    ranks: Mapping[Key, dict[str, Any]],
    records: Mapping[str, RunRecord],
) -> dict[str, Any]:
    survey = plan.survey
    return {
        "question": survey.question,
        "margin": survey.margin,
        "matched_within": MATCHED,
        "arms": [_arm_facts(plan, key, found, ranks.get(key), records) for key, found in judged.items()],
        "settings": [
            {
                "setting": setting.name,
                "title": setting.title,
                "ranked": setting.ranked,
                "rows": records[plan.activations[setting.name, TARGET].id].facts["rows"],
                "what_varied": what_varied(setting.training.vary),
                "controls": judged[setting.name, setting.arms[0].name].evidence.controls,
            }
            for setting in survey.settings
        ],
        "warnings": [*_warned(plan, records), *sorted(left_out(arm.sae for s in survey.settings for arm in s.arms))],
        "not_run": [*plan.not_run.values(), *filter(None, (setting.no_models for setting in survey.settings))],
        "remarks": list(survey.remarks),
    }


def _warned(plan: SurveyPlan, records: Mapping[str, RunRecord]) -> list[str]:
    """What the trainings at the arms' budgets warned of, and which arms they were of, on the source or on a control."""
    found: dict[str, dict[str, None]] = {}
    for (setting, source, arm, steps), node in plan.stacks.items():
        if steps == plan.budgets[setting, arm]:
            place = f"{setting} {arm}" if source == TARGET else f"{setting} {arm} on {source}"
            for text in records[node.id].facts["warnings"]:
                found.setdefault(text, {})[place] = None
    return [f"{', '.join(places)}: {text}" for text, places in sorted(found.items())]


def _arm_facts(
    plan: SurveyPlan, key: Key, found: _Judged, rank: dict[str, Any] | None, records: Mapping[str, RunRecord]
) -> dict[str, Any]:
    e = found.evidence
    setting, arm = key
    stack = records[plan.stacks[setting, TARGET, arm, plan.budgets[key]].id]
    return {
        "setting": setting,
        "arm": arm,
        "kind": e.arm.sae.kind,
        "trained_by": e.arm.trained_by,
        "requested_l0": e.arm.l0,
        "steps": plan.budgets[key],
        "engine": stack.facts["engine"],
        "why_engine": stack.facts["why_engine"],
        "sae": stack.facts["sae"],
        "says": found.says,
        "against": {
            control: "too few units" if (excess := e.excess(control)) is None else call(excess, plan.survey.margin)[0]
            for control in e.controls
        },
        "reasons": found.reasons,
        "flaws": e.flaws,
        "convergence": {group: c.words() for group, c in found.trained.items()},
        "converged": converged_on(found.trained),
        "early": not_converged(found.trained),
        "rank": rank,
    }
