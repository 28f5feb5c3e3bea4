"""What a calibration concludes: the winner of a search, whether projections and twins agree, what is recommended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from husai.statistics.convergence import Convergence, not_converged
from husai.statistics.estimate import at_level, show
from husai.statistics.intervals import unit_mean
from husai.studies.calibrations.calibration import CONFIRM, SEARCH, TWIN, WITHIN, Calibration, arm_name
from husai.studies.nodes.projection import SCORE
from husai.studies.plan import RANDOM_MODEL, TARGET
from husai.studies.surveys.evidence import ArmEvidence

FALLEN = 0.8
Evidence = Mapping[tuple[str, str], ArmEvidence]
Trained = Mapping[tuple[str, str], Mapping[str, Convergence]]


@dataclass(frozen=True)
class Candidate:
    """A k in a search: lower 95 % bound of its least excess; why it cannot win, if it cannot."""

    k: int
    bound: float | None
    explained_variance: float | None
    why_not: str


@dataclass(frozen=True)
class Search:
    """A search on one source: candidates, the winner, and the k that decoder projections point at."""

    setting: str
    candidates: tuple[Candidate, ...]
    winner: int | None
    projected: int | None

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "setting": self.setting, "winner": self.winner, "projected": self.projected,
            "candidates": [vars(candidate) for candidate in self.candidates],
        }  # fmt: skip


def search(declared: Calibration, setting: str, evidence: Evidence, trained: Trained) -> Search:
    """Rank the k of a setting by the lower bound of the excess over trained controls, above the floor."""
    found = [_candidate(declared, setting, k, evidence, trained) for k in declared.k]
    able = [c for c in found if not c.why_not and c.bound is not None]
    winner = max(able, key=lambda c: c.bound or 0.0).k if able else None
    return Search(setting, tuple(found), winner, _projected(declared, setting, evidence, trained))


def _candidate(declared: Calibration, setting: str, k: int, evidence: Evidence, trained: Trained) -> Candidate:
    key = (setting, arm_name(k))
    arm, checks = evidence[key], trained[key]
    bound = arm.least_bound()
    each = arm.by_seed("explained_variance")
    known = [v for v in each if v is not None]
    ev = float(np.mean(known)) if known and len(known) == len(each) else None
    return Candidate(k, bound, ev, _why_not(declared, arm, bound, ev, checks))


def _why_not(
    declared: Calibration, arm: ArmEvidence, bound: float | None, ev: float | None, checks: Mapping[str, Convergence]
) -> str:
    if early := not_converged(checks):
        return early
    if arm.flaws:
        return "; ".join(arm.flaws)
    if ev is None or ev < declared.ev_floor:
        shown = "missing" if ev is None else f"{show(ev)} (mean of {declared.seeds} seeds)"
        return f"explained variance {shown} is below the floor {declared.ev_floor:g}"
    return "" if bound is not None else "its excess has no interval"


def _projected(declared: Calibration, setting: str, evidence: Evidence, trained: Trained) -> int | None:
    """Where decoder projections have fallen; None where they do not surely fall, still do at the largest k, or some SAE
    is still changing. They are read off the target alone, so whether its excess over a control is settled is not asked.
    """
    arms = {k: evidence[setting, arm_name(k)] for k in declared.k}
    checks = [trained[setting, arm_name(k)][TARGET] for k in declared.k]
    if not all(c.statistic.holds and c.explained_variance.holds for c in checks):
        return None
    scores = {k: np.abs(values) for k, arm in arms.items() if (values := _scores(arm)) is not None}
    if len(scores) < len(arms):
        return None
    first, lowest = scores[declared.k[0]], min(scores.values(), key=lambda values: float(values.mean()))
    fall = at_level(unit_mean(first - lowest, unit="seeds"), 1 - 0.05 / (len(scores) - 1))  # the lowest of so many
    if fall.low is None or fall.low <= 0:
        return None
    at = elbow({k: float(v.mean()) for k, v in scores.items()})
    return at if at < declared.k[-1] else None


def elbow(scores: Mapping[int, float]) -> int:
    """The smallest k at which the size of the decoder projection has made `FALLEN` of its fall from the smallest k.

    The source looks for the elbow before the jump at a low L0. How far it has to fall is read off the smallest k, which
    should lie well below what is looked for; on planted rows this finds the known k within a factor of 1.5.
    """
    sizes = {k: abs(score) for k, score in sorted(scores.items())}
    first, lowest = next(iter(sizes.values())), min(sizes.values())
    return next(k for k, size in sizes.items() if size <= first - FALLEN * (first - lowest))


def _scores(arm: ArmEvidence) -> np.ndarray | None:
    """Of each seed."""
    node = arm.plan.projections.get((arm.setting.name, arm.arm.name))
    if node is None or node.id not in arm.records:
        return None
    found = [m.value for m in arm.records[node.id].measurements if m.name == SCORE and "seed" in m.scope]
    return np.array(found, dtype=np.float64)


def within(a: float, b: float) -> bool:
    """Whether two k are the same for a calibration."""
    return max(a / b, b / a) <= WITHIN


def recommendation(
    declared: Calibration, evidence: Evidence, trained: Trained, claims: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The facts of a finished calibration: every criterion with its state, and the k recommended, if any."""
    first = search(declared, SEARCH, evidence, trained)
    if first.winner is None:
        return _facts(declared, first, [], [_no_winner(declared, first)], claims)
    twins = [search(declared, f"{TWIN}-{known}", evidence, trained) for known in declared.twins(first.winner)]
    criteria = [
        _confirmed(declared, first.winner, evidence, trained),
        *_not_worse(claims),
        _agree(first),
        *(_found(known, twin) for known, twin in zip(declared.twins(first.winner), twins, strict=True)),
        *_another(twins, first.winner),
    ]
    return _facts(declared, first, twins, criteria, claims)


def _facts(
    declared: Calibration,
    first: Search,
    twins: list[Search],
    criteria: list[dict[str, Any]],
    claims: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    failed = [c["words"] for c in criteria if not c["holds"]]
    k = None if failed or first.winner is None else first.winner
    words = f"k = {k} is recommended" if k is not None else "no recommendation"
    reasons = failed if failed else [c["words"] for c in criteria]
    return {
        "recommended": k,
        "words": f"{words}: {'; '.join(reasons)}",
        "criteria": criteria,
        "ev_floor": declared.ev_floor,
        "within": WITHIN,
        "search": first.plain(),
        "twins": [twin.plain() for twin in twins],
        "against_reference": [claim["words"] for claim in claims],
    }


def _no_winner(declared: Calibration, first: Search) -> dict[str, Any]:
    each = "; ".join(f"k = {c.k}: {c.why_not}" for c in first.candidates)
    return {"criterion": "search", "holds": False, "words": f"no k can win the search ({each})"}


def _confirmed(declared: Calibration, winner: int, evidence: Evidence, trained: Trained) -> dict[str, Any]:
    """On fresh seeds the winner is beyond every control by the margin, and above the floor."""
    key = (CONFIRM, arm_name(winner))
    arm, early = evidence[key], not_converged(trained[key])
    beyond = arm.says(declared.margin) == "beyond"
    values, _ = arm.by_unit("explained_variance")
    ev = None if values is None else float(np.mean(values))
    floor = ev is not None and ev >= declared.ev_floor
    each = "; ".join(
        f"over {name} {'nothing to compare' if excess is None else excess.words()}"
        for name, excess in ((name, arm.excess(name)) for name in arm.controls)
    )
    shown = "" if beyond else "not shown to be "
    words = f"on fresh seeds k = {winner} is {shown}beyond every control (excess {each})"
    words += "" if floor else f", its explained variance {'missing' if ev is None else show(ev)} is below the floor"
    words += "" if RANDOM_MODEL in arm.controls else ", random-weight models were not run"
    words += "".join(f", {why}" for why in [early, *arm.flaws] if why)
    holds = beyond and floor and not early and not arm.flaws
    return {"criterion": "confirmation", "holds": holds, "words": words}


def _not_worse(claims: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """On the same fresh seeds the reference is not surely more stable than the winner, nor more so beyond a control;
    nothing to ask of itself."""
    found = []
    for claim in claims:
        ahead = [where for where, D in _differences(claim).items() if D["high"] is not None and D["high"] < 0]
        known = bool(_differences(claim)) and not claim["reasons"]
        said = f"the reference is surely more stable{ahead[0]}" if ahead else "the reference is not surely more stable"
        words = f"{said if known else 'whether the reference is more stable cannot be said'} ({claim['words']})"
        found.append({"criterion": "reference", "holds": known and not ahead, "words": words})
    return found


def _differences(claim: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Winner less reference, by itself and beyond each control."""
    found = {}
    for element in claim["elements"]:
        if element["raw"]:
            found[""] = element["raw"]
        found |= {f" beyond {control}": D for control, D in element["over"].items()}
    return found


def _agree(first: Search) -> dict[str, Any]:
    winner, at = first.winner, first.projected
    if at is None or winner is None:
        words = (
            "decoder projections do not surely fall from the smallest k, still fall at the largest, or the SAEs of "
            "some k are still changing: add smaller and larger ones, or steps"
        )
        return {"criterion": "projections", "holds": False, "words": words}
    holds = within(at, winner)
    words = f"decoder projections have fallen at k = {at}, {'as' if holds else 'not as'} the search (k = {winner})"
    return {"criterion": "projections", "holds": holds, "words": words}


def _another(twins: Sequence[Search], winner: int) -> list[dict[str, Any]]:
    """Without a second twin, a search that gives the same k whatever the data would pass."""
    words = f"no other k is at least twice or half k = {winner}: no twin can show that another number would be found"
    return [] if len(twins) > 1 else [{"criterion": "another twin", "holds": False, "words": words}]


def _found(known: int, twin: Search) -> dict[str, Any]:
    """On a twin with a known number the whole procedure finds it: winner and projections."""
    got = (twin.winner, twin.projected)
    holds = all(k is not None and within(k, known) for k in got)
    search, projected = ("nothing" if k is None else f"k = {k}" for k in got)
    words = f"on a planted twin with {known} active features the search finds {search}, projections {projected}"
    return {"criterion": f"twin {known}", "holds": holds, "words": words}
