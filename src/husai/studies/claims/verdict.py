"""Deciding a survey's claims: the rule of section 3 of the definitions, over each control, corrected over each family.

A claim is *supported* where arm a is more stable than arm b beyond every trained control (and what it asks of
explained variance holds), *not supported* where some control or the explained variance surely says no, else
*undecided*; arms that have not converged, collapsed, or whose signs differ between alive and all latents leave *no
verdict*, and a claim about an arm that could not be trained here is *not run*. Of a peak one difference is enough to
say no: it needs its own arms only, whatever the others are. Claims of one family are open together: their intervals are
Bonferroni's over all of them, and Holm's p-values stand beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from husai.statistics.convergence import Convergence
from husai.statistics.decision import Call, Contrast, call
from husai.statistics.estimate import Estimate, at_level
from husai.statistics.multiple import holm
from husai.statistics.preconditions import Reason
from husai.statistics.tests import t_p_value
from husai.studies.claims.claim import AnyClaim, DifferenceClaim, family_of, near_and_far, no_peak, value_of
from husai.studies.claims.evidence import Weighed
from husai.studies.claims.judged import Element, Judged, Quality
from husai.studies.claims.reasons import reasons
from husai.studies.plan import TARGET
from husai.studies.surveys.evidence import ArmEvidence
from husai.studies.surveys.plan import SurveyPlan
from husai.studies.surveys.survey import Setting


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
    setting = next(s for s in plan.survey.settings if s.name == claim.setting)
    at, pairs, why_not = _differences(claim, setting, arms)
    rule = _Rule(plan.survey.margin, size, len(pairs))
    made = [_element(Weighed(arms, weights), a, b, rule) for a, b, weights in pairs]
    elements = [replace(e, reasons=_unread(plan, claim, e, trained, rule)) for e in made]
    quality = _quality(claim, elements[0].weighed, size) if elements else None
    budgets = {name: plan.budgets[claim.setting, name] for name in claim.arms}
    found = [*why_not, *(reason for e in elements for reason in e.reasons)]
    if not elements:
        found += reasons(plan, claim, [], arms, trained)
    if any(e.state == "not supported" for e in elements):
        found = []
    marks = tuple(f"{name}: {text}" for name, arm in arms.items() for text in arm.swamped)
    why = tuple(dict.fromkeys(found))
    return Judged(claim, rule.margin, size, tuple(elements), quality, why, budgets, at, marks=marks)


@dataclass(frozen=True)
class _Rule:
    """The decision rule for a claim that is one of `size` open together, and asks `of` differences to be beyond."""

    margin: float
    size: int
    of: int

    def said(self, D: Estimate) -> tuple[Call, Estimate]:
        """Of one of the differences, and the interval that it is read from.

        All of them beyond needs no correction. One that is not decides against the claim, and the least of several is
        low by chance: so this is asked at a level that is corrected over them.
        """
        said, wide, _ = call(D, self.margin, self.size)
        return (said, wide) if said in ("beyond", "too few units") else call(D, self.margin, self.size * self.of)[:2]

    def calls(self, contrasts: Mapping[str, Contrast] | None) -> dict[str, tuple[Call, Estimate]]:
        """Over each control."""
        return {name: self.said(c.alive) for name, c in (contrasts or {}).items() if name != TARGET}


def _unread(
    plan: SurveyPlan, claim: AnyClaim, element: Element, trained: Mapping[str, Mapping[str, Convergence]], rule: _Rule
) -> tuple[Reason, ...]:
    """Why a difference may not be read: for its own arms alone."""
    arms = element.weighed.arms
    own = {name: arm for name, arm in arms.items() if name in (*element.a, element.b)}
    found = reasons(plan, claim, [element.weighed], own, {name: trained[name] for name in own})
    if not found:
        half = replace(element, calls=rule.calls(element.weighed.contrasts(half=True)))
        found = [Reason("undertrained", "half the steps give another verdict")] * (half.state != element.state)
    return tuple(dict.fromkeys(found))


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


def _element(weighed: Weighed, a: tuple[str, ...], b: str, rule: _Rule) -> Element:
    found = weighed.contrasts()
    if found is None:
        return Element(a, b, weighed, {}, None, None)
    raw = rule.said(found[TARGET].alive)
    ps = [_p_value(c.alive, rule.margin) for name, c in found.items() if name != TARGET]
    known = [p for p in ps if p is not None]
    return Element(a, b, weighed, rule.calls(found), raw, max(known) if len(known) == len(ps) else None)


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
