"""Deciding a survey's claims: the rule of section 3 of the definitions, over each control, corrected over each family.

A claim is *supported* where arm a is more stable than arm b beyond every trained control (and what it asks of
explained variance holds), *not supported* where some control or the explained variance surely says no, else
*undecided*; arms that have not converged, collapsed, or whose signs differ between alive and all latents leave *no
verdict*, and a claim about an arm that could not be trained here is *not run*. Claims of one family are open together:
their intervals are Bonferroni's over all of them, and Holm's p-values stand beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from husai.statistics.convergence import Convergence
from husai.statistics.decision import Call, call
from husai.statistics.estimate import Estimate, at_level
from husai.statistics.multiple import holm
from husai.statistics.preconditions import Reason
from husai.statistics.tests import t_p_value
from husai.studies.claim import AnyClaim, DifferenceClaim, family_of, near_and_far, no_peak, value_of
from husai.studies.claim_evidence import Weighed
from husai.studies.claim_reasons import reasons
from husai.studies.plan import TARGET
from husai.studies.survey import Setting
from husai.studies.survey_evidence import ArmEvidence
from husai.studies.survey_plan import SurveyPlan

State = Literal["supported", "not supported", "undecided", "no verdict", "not run"]
Quality = Literal["holds", "fails", "undecided"]
QUALITIES: dict[Quality, State] = {"holds": "supported", "fails": "not supported", "undecided": "undecided"}


@dataclass(frozen=True)
class Element:
    """One difference of a claim: arms a less arms b, with what the rule says over each control.

    `raw` is what it would say of the difference itself, without controls: shown beside, never decisive.
    """

    a: tuple[str, ...]
    b: str
    weighed: Weighed
    calls: Mapping[str, tuple[Call, Estimate]]
    raw: tuple[Call, Estimate] | None
    p_value: float | None

    @property
    def state(self) -> State:
        """Intersection over the controls."""
        said = [c for c, _ in self.calls.values()]
        if not said or "too few units" in said:
            return "no verdict"
        if all(c == "beyond" for c in said):
            return "supported"
        return "not supported" if "not beyond" in said else "undecided"


@dataclass(frozen=True)
class Judged:
    """A claim and what became of it.

    `at` is the effective rank that a peak was looked for at; `marks` are what has to be said of its arms in any case.
    """

    claim: AnyClaim
    margin: float
    family: int
    elements: tuple[Element, ...]
    quality: tuple[Quality, Estimate] | None
    reasons: tuple[Reason, ...]
    budgets: Mapping[str, int]
    at: float | None = None
    p_holm: float | None = None
    marks: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Beyond every control, and the explained variance where the claim asks for it."""
        said = self.beyond_state
        if self.quality is None or self.reasons:
            return said
        both = {said, QUALITIES[self.quality[0]]}
        return "not supported" if "not supported" in both else "supported" if both == {"supported"} else "undecided"

    @property
    def beyond_state(self) -> State:
        """The elements alone: beyond every control or not, whatever the claim asks of explained variance."""
        if self.reasons:
            return "not run" if self.reasons[0].code == "not run" else "no verdict"
        said = {e.state for e in self.elements}
        return "not supported" if "not supported" in said else "supported" if said == {"supported"} else "undecided"

    @property
    def raw_state(self) -> State:
        """What the stabilities alone would say, without any control: a conclusion that the controls may overturn."""
        said = [e.raw[0] if e.raw else "too few units" for e in self.elements]
        if not said:
            return "not run" if self.reasons and self.reasons[0].code == "not run" else "no verdict"
        if "too few units" in said:
            return "no verdict"
        if all(c == "beyond" for c in said):
            return "supported"
        return "not supported" if "not beyond" in said else "undecided"

    @property
    def alone(self) -> bool:
        """Whether one factor alone differed, the number of steps included."""
        return len(self.claim.factors) == 1 and len(set(self.budgets.values())) == 1

    @property
    def least(self) -> tuple[Element, str, Estimate] | None:
        """The element and control that leave least: what the claim has to stand on."""
        every = [(e, name, D) for e in self.elements for name, (_, D) in e.calls.items()]
        return min(every, key=lambda found: found[2].value) if every else None


def judge_claims(
    plan: SurveyPlan,
    evidence: Mapping[tuple[str, str], ArmEvidence],
    trained: Mapping[tuple[str, str], Mapping[str, Convergence]],
) -> list[Judged]:
    """Every claim of the survey, in its order.

    Claims that were not run count in their family: what is installed here must not move the verdicts of the others.
    """
    claims, found = plan.survey.claims, []
    for claim in claims:
        size = sum(family_of(other) == family_of(claim) for other in claims)
        if missing := [plan.not_run[key] for name in claim.arms if (key := (claim.setting, name)) in plan.not_run]:
            why_not = tuple(Reason("not run", text) for text in missing)
            found.append(Judged(claim, plan.survey.margin, size, (), None, why_not, {}))
            continue
        arms = {name: evidence[claim.setting, name] for name in claim.arms}
        checks = {name: trained[claim.setting, name] for name in claim.arms}
        found.append(_judge(plan, claim, size, arms, checks))
    return _with_holm(found)


def _judge(
    plan: SurveyPlan,
    claim: AnyClaim,
    size: int,
    arms: Mapping[str, ArmEvidence],
    trained: Mapping[str, Mapping[str, Convergence]],
) -> Judged:
    margin, setting = plan.survey.margin, next(s for s in plan.survey.settings if s.name == claim.setting)
    at, pairs, why_not = _differences(claim, setting, arms)
    elements = [_element(Weighed(arms, weights), a, b, margin, size, len(pairs)) for a, b, weights in pairs]
    quality = _quality(claim, elements[0].weighed, size) if elements else None
    budgets = {name: plan.budgets[claim.setting, name] for name in claim.arms}
    found = [*why_not, *reasons(plan, claim, [e.weighed for e in elements], arms, trained)]
    if not found and _half(elements, margin, size) != [e.state for e in elements]:
        found.append(Reason("undertrained", "half the steps give another verdict"))
    marks = tuple(f"{name}: {text}" for name, arm in arms.items() for text in arm.swamped)
    why = tuple(dict.fromkeys(found))
    return Judged(claim, margin, size, tuple(elements), quality, why, budgets, at, marks=marks)


def _differences(
    claim: AnyClaim, setting: Setting, arms: Mapping[str, ArmEvidence]
) -> tuple[float | None, list[tuple[tuple[str, ...], str, dict[str, float]]], list[Reason]]:
    """Arms a, arm b and their weights; for a peak also the effective rank, or why these arms can show none."""
    if isinstance(claim, DifferenceClaim):
        return None, [((claim.a,), claim.b, {claim.a: 1.0, claim.b: -1.0})], []
    at = effective_rank(next(iter(arms.values())))
    if at is None:
        return None, [], [Reason("unmatched", "the effective rank is missing: the activations are too wide for one")]
    values = {arm.name: value_of(claim, arm) for arm in setting.arms if arm.name in claim.arms}
    if why_not := no_peak(claim, values, at):
        return at, [], [Reason("unmatched", why_not)]
    near, far = near_and_far(claim, values, at)
    share = dict.fromkeys(near, 1 / len(near))
    return at, [(tuple(near), name, share | {name: -1.0}) for name in far], []


def effective_rank(arm: ArmEvidence) -> float | None:
    """Of the activations that the arms of a setting read; None where it was not measured."""
    return arm.records[arm.plan.activations[arm.setting.name, TARGET].id].get("effective_rank").value


def _element(weighed: Weighed, a: tuple[str, ...], b: str, margin: float, size: int, of: int) -> Element:
    found = weighed.contrasts()
    if found is None:
        return Element(a, b, weighed, {}, None, None)
    calls = {name: _one_of(c.alive, margin, size, of) for name, c in found.items() if name != TARGET}
    raw = _one_of(found[TARGET].alive, margin, size, of)
    ps = [_p_value(c.alive, margin) for name, c in found.items() if name != TARGET]
    known = [p for p in ps if p is not None]
    return Element(a, b, weighed, calls, raw, max(known) if len(known) == len(ps) else None)


def _one_of(D: Estimate, margin: float, size: int, of: int) -> tuple[Call, Estimate]:
    """The rule for one difference of several that all have to be beyond.

    All of them beyond needs no correction. One that is not decides against the claim, and the least of several is low
    by chance: so this is asked at a level that is corrected over them.
    """
    said, wide, _ = call(D, margin, size)
    return (said, wide) if said in ("beyond", "too few units") else call(D, margin, size * of)[:2]


def _p_value(D: Estimate, margin: float) -> float | None:
    """Of the claim that D is above the margin: that of its two-sided interval, 1 on the other side."""
    if D.se is None or D.df is None or D.se <= 0:
        return None
    return t_p_value(D.value, D.se, D.df, margin) if D.value > margin else 1.0


def _quality(claim: AnyClaim, weighed: Weighed, size: int) -> tuple[Quality, Estimate] | None:
    """Whether explained variance is as the claim asks, by its corrected 95 % interval."""
    if not isinstance(claim, DifferenceClaim) or claim.quality == "any":
        return None
    found = weighed.explained_variance()
    if found is None:
        return None
    wide = at_level(found, 1 - 0.05 / size)
    if wide.low is None or wide.high is None:
        return "undecided", wide
    lower, no_lower = wide.high < -claim.ev_margin, wide.low > -claim.ev_margin
    holds, fails = (lower, no_lower) if claim.quality == "lower" else (no_lower, lower)
    return ("holds" if holds else "fails" if fails else "undecided"), wide


def _half(elements: list[Element], margin: float, size: int) -> list[State]:
    """States at half of the budgets."""
    found: list[State] = []
    for element in elements:
        contrasts = element.weighed.contrasts(half=True)
        calls = {} if contrasts is None else {
            name: _one_of(c.alive, margin, size, len(elements)) for name, c in contrasts.items() if name != TARGET
        }  # fmt: skip
        found.append(Element(element.a, element.b, element.weighed, calls, None, None).state)
    return found


def _with_holm(judged: list[Judged]) -> list[Judged]:
    """Holm's p-value of each claim within its family; claims without a verdict count, and have none."""
    found = list(judged)
    for family in {family_of(j.claim) for j in judged}:
        open_ = {j.claim.name: _claim_p(j) for j in judged if family_of(j.claim) == family}
        known = {name: p for name, p in open_.items() if p is not None}
        adjusted = holm(known, len(open_))
        found = [replace(j, p_holm=adjusted.get(j.claim.name)) if family_of(j.claim) == family else j for j in found]
    return found


def _claim_p(judged: Judged) -> float | None:
    """The largest p-value of its elements: all of them have to hold."""
    if judged.reasons or not judged.elements:
        return None
    ps = [e.p_value for e in judged.elements]
    return None if None in ps else max(p for p in ps if p is not None)
