"""What a calibration concludes: the winner of a search, whether projections and twins agree, what is recommended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from husai.statistics.convergence import Convergence
from husai.statistics.decision import call
from husai.statistics.estimate import at_level, show
from husai.studies.calibration import CONFIRM, SEARCH, TWIN, WITHIN, Calibration, arm_name
from husai.studies.nodes.projection import SCORE
from husai.studies.survey_evidence import ArmEvidence

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
    return Search(setting, tuple(found), winner, _projected(declared, setting, evidence))


def _candidate(declared: Calibration, setting: str, k: int, evidence: Evidence, trained: Trained) -> Candidate:
    key = (setting, arm_name(k))
    arm, checks = evidence[key], trained[key]
    least = arm.least_excess()
    bound = None if least is None else at_level(least, 0.95).low
    each = arm.by_seed("explained_variance")
    known = [v for v in each if v is not None]
    ev = float(np.mean(known)) if known and len(known) == len(each) else None
    return Candidate(k, bound, ev, _why_not(declared, bound, ev, checks))


def _why_not(declared: Calibration, bound: float | None, ev: float | None, checks: Mapping[str, Convergence]) -> str:
    early = [group for group, c in checks.items() if not c.converged]
    if early:
        return f"undertrained on {', '.join(early)}"
    if ev is None or ev < declared.ev_floor:
        return f"explained variance {'missing' if ev is None else show(ev)} is below the floor {declared.ev_floor:g}"
    return "" if bound is not None else "its excess has no interval"


def _projected(declared: Calibration, setting: str, evidence: Evidence) -> int | None:
    scores = {k: _score(evidence[setting, arm_name(k)]) for k in declared.k}
    known = {k: score for k, score in scores.items() if score is not None}
    return elbow(known) if len(known) == len(scores) else None


def elbow(scores: Mapping[int, float]) -> int:
    """The smallest k at which the size of the decoder projection has made `FALLEN` of its fall from the smallest k.

    The source looks for the elbow before the jump at a low L0. How far it has to fall is read off the smallest k, which
    should lie well below what is looked for; on planted rows this finds the known k within a factor of 1.5.
    """
    sizes = {k: abs(score) for k, score in sorted(scores.items())}
    first, lowest = next(iter(sizes.values())), min(sizes.values())
    return next(k for k, size in sizes.items() if size <= first - FALLEN * (first - lowest))


def _score(arm: ArmEvidence) -> float | None:
    """Mean over seeds."""
    node = arm.plan.projections.get((arm.setting.name, arm.arm.name))
    return None if node is None or node.id not in arm.records else arm.records[node.id].get(SCORE).value


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
        _agree(first),
        *(_found(known, twin) for known, twin in zip(declared.twins(first.winner), twins, strict=True)),
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
    """On fresh seeds the winner itself is beyond every control by the margin."""
    key = (CONFIRM, arm_name(winner))
    least, early = evidence[key].least_excess(), [g for g, c in trained[key].items() if not c.converged]
    said = "too few units" if least is None else call(least, declared.margin)[0]
    value = "" if least is None else f", least excess {least.words()}"
    words = (
        f"on fresh seeds k = {winner} is {'' if said == 'beyond' else 'not shown to be '}beyond every control{value}"
    )
    if early:
        words += f", undertrained on {', '.join(early)}"
    return {"criterion": "confirmation", "holds": said == "beyond" and not early, "words": words}


def _agree(first: Search) -> dict[str, Any]:
    winner, at = first.winner, first.projected
    if at is None or winner is None:
        return {"criterion": "projections", "holds": False, "words": "decoder projections were not measured"}
    holds = within(at, winner)
    words = f"decoder projections have fallen at k = {at}, {'as' if holds else 'not as'} the search (k = {winner})"
    return {"criterion": "projections", "holds": holds, "words": words}


def _found(known: int, twin: Search) -> dict[str, Any]:
    """On a twin with a known number the whole procedure finds it: winner and projections."""
    got = twin.winner
    holds = got is not None and within(got, known)
    said = "nothing" if got is None else f"k = {got}"
    words = f"on a planted twin with {known} active features the search finds {said}"
    return {"criterion": f"twin {known}", "holds": holds, "words": words}
