"""A judged claim as it goes into a survey's record: words by the rule, facts, and every number with its interval.

"Due to" is said of one factor that varied alone, steps of training included; of several it is said that they varied
together, and nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from husai.statistics.estimate import Estimate, percent, show
from husai.statistics.power import Needed, units_needed
from husai.statistics.wording import over
from husai.store.record import Measurement
from husai.studies.claims.claim import DifferenceClaim, PeakClaim, family_of
from husai.studies.claims.judged import Element, Judged
from husai.studies.measured import measured, single
from husai.studies.plan import RANDOM_MODEL

NOT_LEARNED = " (not shown to be learned, which is not the same as not real)"
COSINE = "cosine, a minus b"


def claim_facts(judged: Judged) -> dict[str, Any]:
    """JSON-ready."""
    claim = judged.claim
    return {
        "claim": claim.name,
        "kind": claim.kind,
        "setting": claim.setting,
        "title": title(judged),
        "state": judged.state,
        "words": words(judged),
        "without_controls": judged.raw_state,
        "beyond_controls": judged.beyond_state,
        "margin": judged.margin,
        "factors": list(claim.factors),
        "alone": judged.alone,
        "family": family_of(claim),
        "open_together": judged.family,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in judged.reasons],
        "budgets": dict(judged.budgets),
        "effective_rank": judged.at,
        "explained_variance_would_settle": None if (found := quality_settling(judged)) is None else found.plain(),
        "elements": [_element_facts(element, judged) for element in judged.elements],
    }


def _element_facts(element: Element, judged: Judged) -> dict[str, Any]:
    return {
        "a": list(element.a),
        "b": element.b,
        "state": element.state,
        "raw": None if element.raw is None else element.raw[1].plain(),
        "over": {control: D.plain() for control, (_, D) in element.calls.items()},
        "says": {c: "no verdict" if element.reasons else said for c, (said, _) in element.calls.items()},
        "reasons": [reason.text for reason in element.reasons],
        "would_settle": {control: found.plain() for control, found in settling(element, judged).items()},
    }


def settling(element: Element, judged: Judged) -> dict[str, Needed]:
    """How many units would settle what is undecided, by control."""
    return {
        control: element.weighed.to_settle(control, D, judged.margin, judged.family * len(judged.elements))
        for control, (said, D) in element.calls.items()
        if said == "undecided" and D.se is not None
    }


def title(judged: Judged) -> str:
    """What is claimed."""
    claim = judged.claim
    if isinstance(claim, PeakClaim):
        return f"stability is highest where {claim.field} matches the effective rank of the activations"
    asks = {"any": "", "not lower": ", at no lower explained variance", "lower": ", at lower explained variance"}
    return f"{claim.a} is more stable than {claim.b}{asks[claim.quality]}"


def words(judged: Judged) -> str:
    """One sentence."""
    if judged.state == "not run":
        return "; ".join(reason.text for reason in judged.reasons)
    if judged.reasons:
        return "; ".join([f"no verdict: {'; '.join(reason.text for reason in judged.reasons)}", *judged.marks])
    parts = [
        f"{judged.state}: {_stability(judged)}",
        *_quality(judged),
        *_peak(judged),
        _credit(judged),
        _steps(judged),
        _scope(judged),
    ]
    parts += judged.marks
    return "; ".join(part for part in parts if part)


def _stability(judged: Judged) -> str:
    """The control, and the arm b, that decide: those that say no, else those that leave least."""
    every = [(e, c, D, said) for e in judged.deciding for c, (said, D) in e.calls.items()]
    against, open_ = ([(e, c, D) for e, c, D, said in every if said == word] for word in ("not beyond", "undecided"))
    pool = against or open_ or [(e, c, D) for e, c, D, _ in every]
    element, control, D = min(pool, key=lambda found: found[2].value)
    a, b = ("the mean of " if len(element.a) > 1 else "") + _and(element.a), element.b
    if all(e.state == "supported" for e in judged.elements):
        others = b if len(judged.elements) == 1 else "every other arm"
        return f"{a} more stable than {others} beyond every control, least over {control}, D = {D.words()}"
    if against:
        hint = NOT_LEARNED if control == RANDOM_MODEL else ""
        return f"{a} not more stable than {b} beyond {control}, D = {D.words()}{hint}"
    more = "" if not open_ else f"; {_settled_by(judged)}"
    return f"{a} against {b} beyond {control}, D = {D.words()}, neither above nor below the margin{more}"


def _settled_by(judged: Judged) -> str:
    """How many units would settle the claim: one difference that falls below the margin does, else all of them must be
    above it."""
    found = [(e, c, needed) for e in judged.deciding for c, needed in settling(e, judged).items()]
    open_ = sum(said == "undecided" for e in judged.deciding for said, _ in e.calls.values())
    against = [each for each in found if each[2].n is not None and each[2].outcome == "not beyond"]
    if against:
        element, control, needed = min(against, key=lambda each: each[2].n or 0)
    elif len(found) < open_:
        return "how many units would settle it is not known: of some difference the spread is missing"
    else:
        element, control, needed = max(found, key=lambda each: math.inf if each[2].n is None else each[2].n)
    where = f"against {element.b} beyond {control}: " if open_ > 1 else ""
    return f"{where}{needed.words()}"


def _quality(judged: Judged) -> list[str]:
    if judged.quality is None or not isinstance(judged.claim, DifferenceClaim):
        return []
    (state, difference), claim = judged.quality, judged.claim
    by = f"by more than {show(claim.ev_margin)}"
    lower = (state == "holds") == (claim.quality == "lower")
    said = f"explained variance is {'' if lower else 'not '}lower {by}"
    if state == "undecided":
        said = f"whether explained variance is lower {by} is undecided"
    more = [needed.words()] if (needed := quality_settling(judged)) is not None else []
    return [f"{said}, it differs by {difference.words()}", *more]


def quality_settling(judged: Judged) -> Needed | None:
    """How many units would settle whether explained variance is lower, where that is undecided and its spread known."""
    if judged.quality is None or not isinstance(judged.claim, DifferenceClaim):
        return None
    state, D = judged.quality
    if state != "undecided" or D.se is None or not D.bounded:
        return None
    loss = replace(D, value=-D.value, low=None if D.high is None else -D.high, high=None if D.low is None else -D.low)
    return replace(units_needed(loss, judged.claim.ev_margin, judged.family), value=D.value)


def _peak(judged: Judged) -> list[str]:
    out = [] if judged.reasons else [e for e in judged.elements if e.reasons]
    why = dict.fromkeys(reason.text for e in out for reason in e.reasons)
    left = [f"without {_and([e.b for e in out])}, of which nothing may be read ({', '.join(why)})"] if out else []
    return [] if judged.at is None else [f"the effective rank is {show(judged.at)}", *left]


def _credit(judged: Judged) -> str:
    """Who may be credited, where something is supported."""
    if judged.state != "supported":
        return ""
    if judged.alone:
        return f"due to {judged.claim.factors[0]}, which alone differed"
    if judged.claim.factors == ("kind",):
        return "the architectures differ as a whole, so nothing of them is singled out"
    together = [*judged.claim.factors, *(["the number of steps"] if len(set(judged.budgets.values())) > 1 else [])]
    return f"{_and(together)} differed together, so none of them is singled out"


def _steps(judged: Judged) -> str:
    """Who was trained for how long, where that differs."""
    by_steps: dict[int, list[str]] = {}
    for name, steps in judged.budgets.items():
        by_steps.setdefault(steps, []).append(name)
    each = ", ".join(f"{_and(names)} {steps}" for steps, names in sorted(by_steps.items()))
    return f"trained for different numbers of steps ({each})" if len(by_steps) > 1 else ""


def _scope(judged: Judged) -> str:
    """What a decided claim holds for: no more than was varied."""
    if judged.state not in ("supported", "not supported"):
        return ""
    setting = judged.elements[0].weighed.one.setting
    return over(setting.training.vary, "this checkpoint" if setting.captured is not None else "these rows")


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def claim_measurements(judged: Judged) -> list[Measurement]:
    """The difference itself, what is left over each control, the difference of explained variance, Holm's p-value."""
    name, made = judged.claim.name, []
    for element in judged.elements:
        scope = {"claim": name, "a": _and(element.a), "b": element.b}
        if element.raw is not None:
            made.append(_of("claim.difference", element.raw[1], COSINE, scope, judged.family))
        for control, (_, D) in element.calls.items():
            unit = f"{COSINE}, beyond the control"
            made.append(_of("claim.excess", D, unit, scope | {"control": control}, judged.family, control))
    if judged.quality is not None:
        difference = judged.quality[1]
        made.append(
            _of("claim.explained_variance", difference, "share of variance, a minus b", {"claim": name}, judged.family)
        )
    why = f"Holm over {judged.family} claim{'s' * (judged.family > 1)} open together; of stability alone"
    no_p = "no verdict, or nothing varied" if judged.p_holm is None else why
    return [*made, single("claim.p_holm", judged.p_holm, "p-value", {"claim": name}, no_p)]


def _of(name: str, estimate: Estimate, unit: str, scope: dict[str, str], family: int, null: str = "") -> Measurement:
    if family > 1:
        unit += f", one of {family} open together, jointly {percent(1 - family * (1 - estimate.level))}"
    return measured(name, estimate, unit, scope, null=null)
