"""What a programme's hypotheses come to, by their rules, from the claims in the records of its studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from husai.statistics.decision import call
from husai.statistics.estimate import Estimate
from husai.studies.programmes.programme import RULES, Hypothesis

FEW = 12  # claims of which an undecided hypothesis repeats the words; of more, the table of its claims has them
PART = "as far as it was run, "
Verdict = Literal["supported", "not supported", "undecided", "not run"]
Claims = Sequence[dict[str, Any]]  # facts of claims, each with its study


def hypothesis_facts(hypothesis: Hypothesis, every: Claims, doubt: str = "") -> dict[str, Any]:
    """State, the claims that decided it, and one sentence; in `doubt` of the method nothing is decided."""
    wanted = set(hypothesis.claims)
    claims = [c for c in every if not wanted or _full_name(c) in wanted]
    claims = [] if hypothesis.rule == "not run" else claims
    state, deciding = verdict(hypothesis, claims)
    words = _words(state, claims, deciding, bool(hypothesis.not_run))
    if doubt and state in ("supported", "not supported"):
        state, deciding, words = "undecided", [], f"undecided: {doubt}; but for that, {words}"
    return {
        "hypothesis": hypothesis.name,
        "title": hypothesis.title,
        "text": hypothesis.text,
        "rule": hypothesis.rule,
        "rule_words": RULES[hypothesis.rule],
        "state": state,
        "words": words,
        "claims": [_short(c, c in deciding) for c in claims],
        "not_run": list(hypothesis.not_run),
    }


def verdict(hypothesis: Hypothesis, claims: Claims) -> tuple[Verdict, list[dict[str, Any]]]:
    """The state by the rule, and the claims that decide it; claims without a verdict decide nothing."""
    if hypothesis.rule == "not run" or all(c["state"] == "not run" for c in claims):
        return "not run", []
    if hypothesis.rule == "overturned":
        return _overturned(claims)
    yes, no = ([c for c in claims if c["state"] == state] for state in ("supported", "not supported"))
    if hypothesis.rule == "any":
        return ("supported", yes) if yes else ("not supported", no) if len(no) == len(claims) else ("undecided", [])
    return ("not supported", no) if no else ("supported", yes) if len(yes) == len(claims) else ("undecided", [])


def _overturned(claims: Claims) -> tuple[Verdict, list[dict[str, Any]]]:
    """What controls do to claims that their stabilities alone would support, corrected over all that are looked at.

    One that trained controls take back is enough; for the opposite, all of them must stay beyond the controls.
    """
    bare = [c for c in claims if _raw(c, len(claims)) == "beyond"]
    fallen = [c for c in bare if c["state"] != "no verdict" and _taken_back(c, len(claims))]
    if fallen:
        return "supported", fallen
    held = [c for c in bare if c["beyond_controls"] == "supported"]
    return ("not supported", held) if bare and len(held) == len(bare) else ("undecided", [])


def _raw(claim: dict[str, Any], looked_at: int) -> str:
    """What the stabilities alone say of all elements of a claim, where all of them may be read."""
    if any(element.get("reasons") for element in claim["elements"]):
        return "not beyond"
    said = {_called(element["raw"], claim, looked_at) for element in claim["elements"] if element["raw"]}
    return "beyond" if said == {"beyond"} else "not beyond"


def _taken_back(claim: dict[str, Any], looked_at: int) -> bool:
    """Whether some control surely has it too, corrected over the differences that the claim asks for as well."""
    over = [D for element in claim["elements"] for D in element["over"].values()]
    of = looked_at * len(claim["elements"])
    return claim["beyond_controls"] == "not supported" and any(_called(D, claim, of) == "not beyond" for D in over)


def _called(plain: dict[str, Any], claim: dict[str, Any], looked_at: int) -> str:
    return call(Estimate(**plain), claim["margin"], looked_at)[0]


def _words(state: Verdict, claims: Claims, deciding: Claims, partly: bool) -> str:
    if state == "not run":
        return "; ".join(dict.fromkeys(["not run", *(f"{c['study']}: {c['words']}" for c in claims)]))
    if deciding:
        head = f"{PART if partly else ''}{state}: "
        return head + "; ".join(map(_told, deciding))
    states = ("supported", "not supported", "undecided", "not run")
    counts = {name: sum(c["state"] == name for c in claims) for name in states}
    early = len(claims) - sum(counts.values())
    held = [f"{n} {name}" for name, n in (counts | {"without a verdict": early}).items() if n]
    said = f"undecided: of {len(claims)} claim{'s' if len(claims) > 1 else ''} {', '.join(held)}"
    return "; ".join([said, *(_told(c) for c in claims if len(claims) <= FEW)])


def doubt_of(positive: Sequence[str], every: Claims) -> str:
    """Which claims that must be supported are not, in words; empty where all of them are."""
    bad = [c for name, c in _named(positive, every).items() if c["state"] != "supported"]
    each = "; ".join(map(_told, bad))
    return f"the positive control does not say yes, so the method is in doubt: {each}" if bad else ""


def positive_words(positive: Sequence[str], every: Claims, doubt: str) -> str:
    """What the positive control said; `doubt` is what `doubt_of` says of it."""
    if doubt or not positive:
        return doubt or "no positive control was declared, so nothing shows that the method finds what is there"
    each = (f"{name}: {c['title']} ({c['words']})" for name, c in _named(positive, every).items())
    return f"the positive control says yes: {'; '.join(each)}"


def _named(names: Sequence[str], every: Claims) -> dict[str, dict[str, Any]]:
    """Claims by their full names."""
    known = {_full_name(c): c for c in every}
    return {name: known[name] for name in names}


def _full_name(claim: dict[str, Any]) -> str:
    """As a programme names it."""
    return f"{claim['study']}/{claim['claim']}"


def _told(claim: dict[str, Any]) -> str:
    """Where it was asked, what, and what was found."""
    return f"{claim['study']}: {claim['title']} ({claim['words']})"


def _short(claim: dict[str, Any], deciding: bool) -> dict[str, Any]:
    """What the programme's record keeps of a claim; everything is in the record of its study."""
    kept = ("study", "claim", "title", "state", "words", "without_controls", "family", "open_together")
    return {name: claim[name] for name in kept} | {"deciding": deciding}


def answer(hypotheses: Claims) -> str:
    """All hypotheses in one sentence."""
    part = " as far as it was run"
    return ", ".join(
        f"{h['hypothesis']} {h['state']}{part if h['not_run'] and h['state'] != 'not run' else ''}" for h in hypotheses
    )
