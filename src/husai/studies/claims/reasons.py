"""Why a claim has no verdict: arms that have not converged, have collapsed, are unmatched, or cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from husai.statistics.convergence import Convergence, not_converged
from husai.statistics.decision import Sanity
from husai.statistics.preconditions import Reason, check
from husai.studies.claims.claim import AnyClaim, DifferenceClaim
from husai.studies.claims.evidence import Weighed
from husai.studies.plan import TARGET
from husai.studies.surveys.evidence import NOTHING, ArmEvidence
from husai.studies.surveys.plan import SurveyPlan
from husai.studies.surveys.survey import MATCHED

EV = "explained_variance"


def reasons(
    plan: SurveyPlan,
    claim: AnyClaim,
    differences: Sequence[Weighed],
    arms: Mapping[str, ArmEvidence],
    trained: Mapping[str, Mapping[str, Convergence]],
) -> list[Reason]:
    """Why there is no verdict; a reason may come twice."""
    found = _early(trained) + _unmatched(arms) + _collapsed(arms) + _no_quality(claim, differences)
    if not found and not _same_quality(claim, arms):
        found.append(Reason("undertrained", "at half the steps explained variance is on the other side"))
    sane = _sanity(plan, arms)
    for weighed in differences:
        contrasts = weighed.contrasts()
        if contrasts is None:
            found.append(Reason("too few units", NOTHING))
            continue
        pairs = {name: (c.alive, c.all) for name, c in contrasts.items()}
        target, controls = pairs.pop(TARGET), pairs
        found += check(
            target=target, controls=controls, positive=None, negative=None, converged={"arms": True},
            model=sane, unmatched=(), collapsed=(), method=False,
        )  # fmt: skip
    return found


def _early(trained: Mapping[str, Mapping[str, Convergence]]) -> list[Reason]:
    """Arms that have not converged, or of which that cannot be seen, and where."""
    found = {name: not_converged(groups) for name, groups in trained.items()}
    few = {name for name, groups in trained.items() if any(c.too_few for c in groups.values())}
    return [
        Reason("too few units" if name in few else "undertrained", f"{name} is {words}")
        for name, words in found.items()
        if words
    ]


def _unmatched(arms: Mapping[str, ArmEvidence]) -> list[Reason]:
    """Arms of which an L0 was requested that they do not have; architectures that are compared at different L0s."""
    found = [
        Reason("unmatched", f"{name} has L0 {arm.mean('l0', group):.4g} on {group} where {arm.arm.l0:g} was requested")
        for name, arm in arms.items()
        if arm.arm.l0 is not None
        for group, matched in arm.matched.items()
        if not matched
    ]
    if len({arm.arm.sae.kind for arm in arms.values()}) > 1:
        found += [reason for group in next(iter(arms.values())).groups for reason in _different_l0(arms, group)]
    return found


def _different_l0(arms: Mapping[str, ArmEvidence], group: str) -> list[Reason]:
    l0 = {name: arm.mean("l0", group) for name, arm in arms.items()}
    if max(l0.values()) <= (1 + MATCHED) / (1 - MATCHED) * min(l0.values()):
        return []
    each = ", ".join(f"{name} {value:.4g}" for name, value in l0.items())
    return [Reason("unmatched", f"different L0 on {group}: {each}")]


def _no_quality(claim: AnyClaim, differences: Sequence[Weighed]) -> list[Reason]:
    """A demand on explained variance that cannot be answered."""
    if not isinstance(claim, DifferenceClaim) or claim.quality == "any" or not differences:
        return []
    found = differences[0].explained_variance()
    return [] if found is not None else [Reason("too few units", "explained variance is missing for some seed")]


def _same_quality(claim: AnyClaim, arms: Mapping[str, ArmEvidence]) -> bool:
    """Whether explained variance is on the same side of what is asked at half the steps and at all of them."""
    if not isinstance(claim, DifferenceClaim) or claim.quality == "any":
        return True
    a, b = arms[claim.a], arms[claim.b]
    half, full = (a.mean(EV, TARGET, at_half) - b.mean(EV, TARGET, at_half) for at_half in (True, False))
    return (half < -claim.ev_margin) == (full < -claim.ev_margin)


def _collapsed(arms: Mapping[str, ArmEvidence]) -> list[Reason]:
    found = {name: arm.collapsed for name, arm in arms.items()}
    return [Reason("collapsed", f"{n} dictionaries of {name} collapsed") for name, n in found.items() if n]


def _sanity(plan: SurveyPlan, arms: Mapping[str, ArmEvidence]) -> Sanity:
    arm = next(iter(arms.values()))
    model = plan.activations[arm.setting.name, TARGET].parents.get("model")
    if model is None:
        return "no model"
    return "sane" if arm.records[model.id].facts["sanity"]["readable"] else "not sane"
