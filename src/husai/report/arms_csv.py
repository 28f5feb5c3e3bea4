"""`arms.csv`: one row for each arm of a survey, with every number that the survey's record holds of it."""

from __future__ import annotations

import csv
import io
from typing import Any

from husai.report.survey_view import ArmView, SurveyView
from husai.store.record import Measurement

FILE = "arms.csv"
OWN = ("setting", "requested_l0", "arm", "kind", "letter", "steps", "engine", "says", "takes_part", "rank", "on_front")
LISTS = ("surely_behind", "reasons")


def arms_csv(view: SurveyView) -> str:
    """CSV text; a column is named by metric and scope, its bounds `.low` and `.high`; empty means missing."""
    measured: dict[tuple[str, str], list[Measurement]] = {}
    for m in view.record.measurements:
        measured.setdefault((m.scope.get("setting", ""), m.scope.get("arm", "")), []).append(m)
    rows = []
    for arm in view.arms:
        numbers = measured.get((arm.facts["setting"], arm.facts["arm"]), [])
        rows.append(_said(arm) | {name: value for m in numbers for name, value in _numbers(m).items()})
    names = [*OWN, *LISTS, *dict.fromkeys(name for row in rows for name in row if name not in OWN + LISTS)]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _said(arm: ArmView) -> dict[str, Any]:
    facts = arm.facts
    rank = arm.rank or {}
    said = {name: facts.get(name) for name in OWN} | {"letter": arm.letter, "takes_part": arm.takes_part}
    said |= {name: rank.get(name) for name in ("rank", "on_front")}
    lists = {"surely_behind": rank.get("surely_behind", []), "reasons": facts["reasons"]}
    shown = {name: "" if value is None else value for name, value in said.items()}
    return shown | {name: "; ".join(values) for name, values in lists.items()}


def _numbers(m: Measurement) -> dict[str, Any]:
    """Value and bounds under the name of what is measured, without setting and arm, which the row has."""
    scope = ",".join(f"{k}={v}" for k, v in sorted(m.scope.items()) if k not in ("setting", "arm"))
    name, bounds = f"{m.name}[{scope}]" if scope else m.name, m.shown_interval
    found: dict[str, Any] = {name: "" if m.value is None else repr(m.value)}
    if bounds is not None:
        found |= {f"{name}.{end}": "" if (b := getattr(bounds, end)) is None else repr(b) for end in ("low", "high")}
    return found
