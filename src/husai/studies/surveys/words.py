"""What a survey has found, in words: made from its judged arms, and kept in its record for pages and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from husai.statistics.convergence import UNCHECKED, UNDERTRAINED
from husai.store.record import Measurement
from husai.studies.surveys.evidence import COLLAPSED, OPPOSITE

ArmFacts = dict[str, Any]
CONSISTENT = {
    "beyond": "consistent",
    "not beyond": "not consistent beyond controls",
    "undecided": "not shown to be consistent beyond controls",
    "no statement": "no statement on consistency",
}
STATES = {
    "supported": "supported", "not supported": "not supported", "undecided": "undecided",
    "no verdict": "without a verdict", "not run": "not run",
}  # fmt: skip
ALONE = {
    "beyond": "beyond every control",
    "not beyond": "not beyond some control",
    "undecided": "undecided",
    "no statement": "no statement",
}
TRUE, FALSE, SHORT, OPEN, UNKNOWN = "true", "not true", "short of the truth", "undecided", "unknown"


def comparisons(
    settings: list[dict[str, Any]], arms: list[ArmFacts], claims: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """One entry for each setting and requested L0: how many arms, how many take part, and what may be said.

    Of a setting that has claims it is not said that its arms are not compared.
    """
    ranked = {setting["setting"]: setting["ranked"] for setting in settings}
    decided = [claim["setting"] for claim in claims]
    groups: dict[tuple[str, float | None], list[ArmFacts]] = {}
    for arm in arms:
        groups.setdefault((arm["setting"], arm["requested_l0"]), []).append(arm)
    return [
        _comparison(setting, l0, ranked[setting], found, decided.count(setting))
        for (setting, l0), found in groups.items()
    ]


def _comparison(setting: str, l0: float | None, ranked: bool, arms: list[ArmFacts], claims: int) -> dict[str, Any]:
    part = [arm for arm in arms if not arm["reasons"]]
    compared = ranked and l0 is not None
    return {
        "setting": setting,
        "requested_l0": l0,
        "compared": compared,
        "arms": len(arms),
        "take_part": len(part) if compared else 0,
        "beyond": sum(arm["says"] == "beyond" for arm in part) if compared else 0,
        "ranked": compared and len(part) > 1,
        "title": f"{setting}, as it comes" if l0 is None else f"{setting}, L0 = {l0:g} requested",
        "words": _found(arms, part) if compared else _not_compared(arms, ranked, claims),
    }


def _not_compared(arms: list[ArmFacts], ranked: bool, claims: int) -> str:
    why = "no L0 was requested, so they are unmatched" if ranked else "nothing is ranked here"
    if claims:
        return f"{_count(arms)} shown and not ranked: {_claims(claims)} of this setting decide{'s' * (claims == 1)}"
    return f"{_count(arms)} shown and not compared: {why}"


def _claims(n: int) -> str:
    return f"{n} claim{'' if n == 1 else 's'}"


def _count(arms: list[ArmFacts]) -> str:
    return f"{len(arms)} arm{'' if len(arms) == 1 else 's'}"


def _found(arms: list[ArmFacts], part: list[ArmFacts]) -> str:
    """Who takes part, whether that is a ranking, and who stands where."""
    said = [f"{len(part)} of {_count(arms)} matched and converged{_left_out(arms)}"]
    if part:
        beyond = [arm["arm"] for arm in part if arm["says"] == "beyond"]
        each = " (each by itself, not corrected for their number)" if len(beyond) > 1 else ""
        said.append(f"beyond every control{each}: {_names(beyond)}")
    return "; ".join([*said, *_ranking(part)])


def _left_out(arms: list[ArmFacts]) -> str:
    """How many take no part, by reason; an arm may have both."""
    counts = {
        word: sum(any(reason.startswith(word) for reason in arm["reasons"]) for arm in arms)
        for word in ("unmatched", UNDERTRAINED, UNCHECKED, COLLAPSED, OPPOSITE)
    }
    held = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    return f" ({held})" if held else ""


def _ranking(part: list[ArmFacts]) -> list[str]:
    placed = sorted((arm for arm in part if arm["rank"]), key=lambda arm: arm["rank"]["rank"])
    if len(placed) < 2:
        return ["no ranking, which takes two"]
    front = [arm["arm"] for arm in placed if arm["rank"]["on_front"]]
    behind = [arm["arm"] for arm in placed if arm["rank"]["surely_behind"]]
    return [
        f"most beyond its controls: {placed[0]['arm']}",
        f"on the front of stability and explained variance: {_names(front)}",
        f"surely behind another arm: {_names(behind)}",
    ]


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"


def answer(found: list[dict[str, Any]], claims: Sequence[dict[str, Any]] = (), arms: Sequence[ArmFacts] = ()) -> str:
    """All claims and comparisons in one sentence; where there are none, what each arm is by itself."""
    ranking = _ranked(found)
    if not claims:
        return ranking or f"nothing is compared: {_each(arms)}"
    counts = {state: sum(claim["state"] == state for claim in claims) for state in STATES}
    each = ", ".join(f"{n} {STATES[state]}" for state, n in counts.items() if n)
    said = f"of {_claims(len(claims))}, {each}"
    return "; ".join([said, *([ranking] if ranking else ["no arm is ranked"])])


def _each(arms: Sequence[ArmFacts]) -> str:
    """What the rule says of each arm by itself, of those that have converged."""
    groups: dict[str, list[str]] = {}
    for arm in arms:
        early = next((word for word in (UNDERTRAINED, UNCHECKED) if word in arm["early"]), "")
        groups.setdefault(early or ALONE[arm["says"]], []).append(f"{arm['setting']} {arm['arm']}")
    order = [*ALONE.values(), UNDERTRAINED, UNCHECKED]
    return "; ".join(f"{name}: {_names(groups[name])}" for name in order if name in groups) or "there is no arm"


def _ranked(found: list[dict[str, Any]]) -> str:
    """What was to be ranked, and what is; nothing where nothing was."""
    compared = [entry for entry in found if entry["compared"]]
    arms, part = (sum(entry[name] for entry in compared) for name in ("arms", "take_part"))
    if not compared:
        return ""
    ranked = sum(entry["ranked"] for entry in compared)
    n = len(compared)
    tables = f"{ranked} of {n} requested L0s {'has' if ranked == 1 else 'have'} a ranking"
    return f"{part} of {arms} arms that were to be compared are matched and converged; {tables}"


def truth(
    arm: ArmFacts, between: Measurement | None, to_truth: Measurement | None, most: Measurement | None, margin: float
) -> dict[str, str] | None:
    """Are features that come back also true? None where no truth is known.

    True: the whole interval of the agreement with the truth lies above what is attainable less the margin. Short of the
    truth: all of it lies below. Not true: it does, and the seeds surely agree more with each other than with the truth.
    """
    if to_truth is None or most is None:
        return None
    state, says = _truth_state(between, to_truth, most, margin), arm["says"]
    undone = any(reason.startswith(UNDERTRAINED) for reason in arm["reasons"])
    early = f" ({UNDERTRAINED}: more steps may change it)" if undone else ""
    link = "; " if state in (OPEN, UNKNOWN) else ", and " if (says == "beyond") == (state == TRUE) else ", but "
    return {"state": state, "words": f"{CONSISTENT[says]}{link}{_TRUTH[state]}{early}"}


_TRUTH = {
    TRUE: "true within the margin",
    FALSE: "not true: the seeds agree more with each other than with the truth",
    SHORT: "short of the truth by more than the margin",
    OPEN: "whether true within the margin is undecided",
    UNKNOWN: "nothing can be said of the truth",
}


def _truth_state(between: Measurement | None, to_truth: Measurement, most: Measurement, margin: float) -> str:
    low, high = _bounds(to_truth)
    if low is None or high is None or most.value is None:
        return UNKNOWN
    if low >= most.value - margin:
        return TRUE
    if high >= most.value - margin:
        return OPEN
    least = None if between is None else _bounds(between)[0]
    return FALSE if least is not None and least > high else SHORT


def _bounds(m: Measurement) -> tuple[float | None, float | None]:
    return (None, None) if m.interval is None else (m.interval.low, m.interval.high)
