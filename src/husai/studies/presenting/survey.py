"""What the terminal shows of surveys: the plan with its cost, and a table for each setting and requested L0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from husai.store.record import RunRecord
from husai.studies.presenting.present import REPORT, minutes, rendered, with_interval
from husai.studies.surveys.survey import Survey
from husai.studies.surveys.words import FALSE

SUMMARY = "summary.md"
LEAST = 118  # columns in which no number is cut off


def survey_dry_run(survey: Survey, workers: int) -> tuple[dict[str, Any], str]:
    """The plan at the first budgets with ids, and the estimated time."""
    from husai.studies.surveys.estimate import survey_seconds
    from husai.studies.surveys.plan import first_budgets, survey_plan
    from husai.studies.surveys.preflight import check_survey

    warnings = check_survey(survey)
    made = survey_plan(survey, first_budgets(survey))
    seconds = survey_seconds(survey, workers)
    nodes = [{"kind": n.kind, "id": n.id, "title": n.title} for n in made.nodes]
    data = {
        "survey": survey.plain(), "nodes": nodes, "seconds": round(seconds), "workers": workers, "warnings": warnings,
    }  # fmt: skip
    kinds = [n.kind for n in made.nodes]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    lines = [f"{n.kind:<12} {n.id}  {n.title}" for n in made.nodes]
    lines += [
        f"{len(kinds)} nodes: {counts}",
        *(f"{s.name}: budgets of steps {', '.join(map(str, s.budgets))}" for s in survey.settings),
        f"time with {workers} processes: about {minutes(seconds)} if the first budgets are enough; nothing was run",
        *(f"warning: {text}" for text in warnings),
    ]
    return data, "\n".join(lines)


def survey_answer(folder: Path, record: RunRecord) -> tuple[dict[str, Any], str]:
    """What was found, and the path of the report, always last."""
    report, summary = (str((folder / name).resolve()) for name in (REPORT, SUMMARY))
    found, claims = (record.facts.get(name, []) for name in ("comparisons", "claims"))
    not_run = record.facts.get("not_run", [])
    recommended: dict[str, Any] | None = record.facts.get("calibration")
    data = {
        "answer": record.facts.get("answer"), "comparisons": found, "arms": record.facts["arms"], "not_run": not_run,
        "run": str(folder), "report": report, "summary": summary, "id": record.id,
    }  # fmt: skip
    data |= {"claims": claims} if claims else {}
    data |= {"calibration": recommended} if recommended else {}
    said = [*(f"{entry['title']}: {entry['words']}" for entry in found), *not_run]
    decided = [f"{claim['claim']}: {claim['title']}: {_claim(claim)}" for claim in claims]
    first = calibration_lines(recommended) if recommended else []
    return data, "\n".join([*first, survey_tables(record), *said, *decided, report])


def calibration_lines(found: dict[str, Any]) -> list[str]:
    """The recommendation, then each criterion."""
    criteria = [f"{'holds' if c['holds'] else 'FAILS'}  {c['criterion']}: {c['words']}" for c in found["criteria"]]
    return [found["words"], *criteria]


def _claim(claim: dict[str, Any]) -> str:
    """Its words, and what would have been said without controls where that is something else."""
    bare = claim["without_controls"]
    return claim["words"] + ("" if bare == claim["state"] else f" (without controls: {bare})")


def survey_tables(record: RunRecord) -> str:
    """One table for each setting and requested L0; below them, whose features agree and are not true."""
    groups: dict[tuple[str, float | None], list[dict[str, Any]]] = {}
    for arm in record.facts["arms"]:
        groups.setdefault((arm["setting"], arm["requested_l0"]), []).append(arm)
    ranking = {setting["setting"]: setting["ranked"] for setting in record.facts["settings"]}
    tables = [_table(record, *key, arms, ranking[key[0]]) for key, arms in groups.items()]
    wrong = [arm for arm in record.facts["arms"] if (arm.get("truth") or {}).get("state") == FALSE]
    words = [f"{arm['setting']} {arm['arm']}: {arm['truth']['words']}" for arm in wrong]
    return "\n".join([rendered(*tables, least=LEAST), *words])


def _table(record: RunRecord, setting: str, l0: float | None, arms: list[dict[str, Any]], ranked: bool) -> Table:
    what = "as it comes, unmatched" if l0 is None else f"L0 = {l0:g} requested"
    there = any(arm["rank"] and arm["rank"]["of"] > 1 for arm in arms)
    few = ": no ranking, since fewer than two arms are matched and converged"
    note = "" if there else few if ranked and l0 is not None else ": nothing is ranked here"
    table = Table(title=f"{setting}, {what}{note}", title_justify="left")
    for column in ("arm", "L0", "explained variance", "mcc_signed", "least excess", "says", "rank", "takes no part"):
        table.add_column(column)
    for arm in sorted(arms, key=lambda arm: (arm["rank"] or {}).get("rank", len(arms))):
        where = {"setting": setting, "arm": arm["arm"], "source": "target"}
        cells = [record.get(name, **where) for name in ("l0", "explained_variance")]
        cells.append(record.get("mcc_signed", population="alive", **where))
        cells.append(record.get("least_excess", setting=setting, arm=arm["arm"]))
        rank = arm["rank"]
        place = "-" if rank is None or rank["of"] < 2 else f"{rank['rank']}{' front' if rank['on_front'] else ''}"
        table.add_row(arm["arm"], *map(with_interval, cells), arm["says"], place, "; ".join(arm["reasons"]))
    return table
