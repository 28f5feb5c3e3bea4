"""One front of stability and reconstruction over all arms of a programme, from the records of its surveys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scipy import stats

from husai.statistics.convergence import undertrained
from husai.statistics.estimate import MIN_UNITS, Estimate, estimate
from husai.statistics.pareto import Point, standings
from husai.store.record import Measurement, RunRecord
from husai.studies.plan import TARGET
from husai.studies.programmes.finished import Finished

QUALITY, STABLE = "explained_variance", "least_excess"
SHOWN = ("l0", QUALITY, "dead_share")
LEVEL = 0.95


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


def arms_of(study: Finished, known: dict[str, str]) -> list[FrontArm]:
    """`known` maps the id of activations to what they are called: by the title of the first setting that reads them."""
    record, titles = study.record, {s["setting"]: s["title"] for s in study.record.facts["settings"]}
    found = []
    for arm in record.facts["arms"]:
        setting, name = arm["setting"], arm["arm"]
        rows = record.parents[f"activation {setting} {TARGET}"]
        why_not = "; ".join([*filter(None, [arm.get("early", undertrained(arm["converged"]))]), *arm.get("flaws", [])])
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

    Arms of different studies on one source are compared, since it is the same source.
    """
    found = {arm.key: {"on_front": False, "surely_behind": []} for arm in arms}
    named = {"/".join(arm.key): arm for arm in arms if arm.facts["takes_part"]}
    for source in dict.fromkeys(arm.source for arm in arms):
        points = {name: p for name, arm in named.items() if arm.source == source and (p := _point(arm)) is not None}
        for name, where in standings(points).items():
            sure = sorted(_called(named[other], named.values()) for other in where.surely_behind)
            found[named[name].key] = {"on_front": where.on_front, "surely_behind": sure}
    return found


def _called(arm: FrontArm, among: Iterable[FrontArm]) -> str:
    """Its name; with study and setting where other arms of its source have the same name."""
    name = arm.facts["arm"]
    alike = sum(other.facts["arm"] == name for other in among if other.source == arm.source)
    return name if alike == 1 else "/".join(arm.key)


def _point(arm: FrontArm) -> Point | None:
    quality, stable = (as_estimate(arm.get(name)) for name in (QUALITY, STABLE))
    return None if quality is None or stable is None else (quality, stable)


def as_estimate(m: Measurement | None) -> Estimate | None:
    """A measurement as an estimate whose bounds can be made at another level; without a bound it has none.

    A record keeps no degrees of freedom: n - 1 is the least that its intervals can have, which makes bounds at a
    higher level too wide rather than too narrow.
    """
    if m is None or m.value is None:
        return None
    i, n = m.interval, m.n or 0
    if i is None or i.low is None or i.high is None or n < MIN_UNITS:
        return estimate(m.value, None, None, level=LEVEL, method="of a record", n=n, unit=m.n_unit, note=m.no_interval)
    se = (i.high - i.low) / 2 / float(stats.t.isf((1 - i.level) / 2, n - 1))
    return estimate(m.value, se, n - 1, level=i.level, method=i.method, n=n, unit=m.n_unit)
