"""A programme's own record: its hypotheses, and one front of stability and reconstruction over all its arms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from husai.statistics.convergence import undertrained
from husai.store.record import Interval, Measurement, RunRecord
from husai.studies.plan import TARGET
from husai.studies.programmes.programme import Programme
from husai.studies.programmes.words import answer, doubt_of, hypothesis_facts, positive_words

QUALITY, STABLE = "explained_variance", "least_excess"
SHOWN = ("l0", QUALITY, "dead_share")


@dataclass(frozen=True)
class Finished:
    """A study of a programme, done."""

    name: str
    record: RunRecord
    folder: Path

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Its claims, each with its study's name; what a replay repeats are the claims of others."""
        if self.record.kind != "survey":
            return []
        return [claim | {"study": self.name} for claim in self.record.facts.get("claims", [])]

    @property
    def answer(self) -> str:
        """What it found, in its own words."""
        facts = self.record.facts
        return facts["verdict"]["words"] if "verdict" in facts else facts.get("answer", "")


def conclude_programme(
    programme: Programme, finished: list[Finished]
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """Measurements and facts of the programme's record, from those of its studies alone."""
    claims = [claim for study in finished for claim in study.claims]
    doubt = doubt_of(programme.positive, claims)
    hypotheses = [hypothesis_facts(hypothesis, claims, doubt) for hypothesis in programme.hypotheses]
    known: dict[str, str] = {}
    arms = [arm for study in finished if study.record.kind == "survey" for arm in _arms(study, known)]
    front = standings_of(arms)
    facts = {
        "question": programme.question,
        "answer": answer(hypotheses),
        "hypotheses": hypotheses,
        "positive": positive_words(programme.positive, claims, doubt),
        "scope": _scope(finished),
        "studies": [_study_facts(study) for study in finished],
        "front": [arm.facts | front[arm.key] for arm in arms],
        "remarks": list(programme.remarks),
    }
    return tuple(m for arm in arms for m in arm.measurements), facts


def _scope(finished: list[Finished]) -> str:
    """What varied in its surveys: nothing that a hypothesis says holds for more."""
    varied = [s["what_varied"] for f in finished if f.record.kind == "survey" for s in f.record.facts["settings"]]
    each = "; elsewhere ".join(dict.fromkeys(varied))
    return f"of one checkpoint and one set of rows for each source: {each}" if varied else ""


def _study_facts(study: Finished) -> dict[str, Any]:
    record = study.record
    question = record.facts.get("question", "")
    return {"study": study.name, "kind": record.kind, "run": record.id, "question": question, "answer": study.answer}


@dataclass(frozen=True)
class FrontArm:
    """An arm of a study on its source, with what places it on the front."""

    key: tuple[str, str, str]
    source: str
    facts: dict[str, Any]
    measurements: tuple[Measurement, ...]

    def get(self, name: str) -> Measurement | None:
        """Its measurement of that name."""
        return next((m for m in self.measurements if m.name == name), None)


def _arms(study: Finished, known: dict[str, str]) -> list[FrontArm]:
    """`known` maps the id of activations to what they are called: by the title of the first setting that reads them."""
    record, titles = study.record, {s["setting"]: s["title"] for s in study.record.facts["settings"]}
    found = []
    for arm in record.facts["arms"]:
        setting, name = arm["setting"], arm["arm"]
        rows = record.parents[f"activation {setting} {TARGET}"]
        why_not = "; ".join([*filter(None, [undertrained(arm["converged"])]), *arm.get("flaws", [])])
        facts = {
            "study": study.name, "setting": setting, "arm": name, "kind": arm["kind"],
            "source": known.setdefault(rows, titles[setting]), "steps": arm["steps"], "says": arm["says"],
            "takes_part": not why_not, "why_not": why_not,
        }  # fmt: skip
        ms = [_copied(study, m) for m in _wanted(record, setting, name)]
        found.append(FrontArm((study.name, setting, name), rows, facts, tuple(ms)))
    return found


def _wanted(record: RunRecord, setting: str, arm: str) -> list[Measurement]:
    own = {"setting": setting, "arm": arm}
    found = [m for m in record.measurements if m.scope == own | {"source": TARGET} and m.name in SHOWN]
    found += record.select(STABLE, **own)
    return [*found, *record.select("mcc_signed", **own, source=TARGET, population="alive")]


def _copied(study: Finished, m: Measurement) -> Measurement:
    scope = {"study": study.name} | {k: v for k, v in m.scope.items() if k not in ("source", "population")}
    return m.model_copy(update={"scope": scope, "artefacts": (f"{study.record.id}:metrics.json",)})


def standings_of(arms: list[FrontArm]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Among the arms of one source that take part: whose point no other beats in both, and who is surely behind whom.

    Surely: the other's intervals of both numbers lie wholly above its own, which is stricter than an interval of each
    difference. Arms of different studies on one source are compared, since it is the same source.
    """
    found = {}
    for arm in arms:
        others = [o for o in arms if o.source == arm.source and o.facts["takes_part"] and o.key != arm.key]
        there = arm.facts["takes_part"] and _point(arm) is not None
        ahead = [o for o in others if there and _ahead(o, arm)]
        sure = sorted({o.facts["arm"] for o in ahead if _surely(o, arm)})
        found[arm.key] = {"on_front": there and not ahead, "surely_behind": sure}
    return found


def _point(arm: FrontArm) -> tuple[float, float] | None:
    values = [m.value for name in (QUALITY, STABLE) if (m := arm.get(name)) is not None]
    return None if len(values) < 2 or values[0] is None or values[1] is None else (values[0], values[1])


def _ahead(a: FrontArm, b: FrontArm) -> bool:
    x, y = _point(a), _point(b)
    return x is not None and y is not None and x[0] > y[0] and x[1] > y[1]


def _surely(a: FrontArm, b: FrontArm) -> bool:
    for name in (QUALITY, STABLE):
        x, y = _interval(a, name), _interval(b, name)
        if x is None or y is None or x.low is None or y.high is None or x.low <= y.high:
            return False
    return True


def _interval(arm: FrontArm, name: str) -> Interval | None:
    m = arm.get(name)
    return None if m is None else m.interval
