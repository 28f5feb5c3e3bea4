"""What the terminal shows of plans, records and verdicts: text made from records, and the same as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from husai.errors import UserError
from husai.store.files import make_folder
from husai.store.index import Results
from husai.store.layout import read_record
from husai.store.record import Measurement, RunRecord
from husai.studies.coupled import which_decides
from husai.studies.recovered import recovered
from husai.studies.study import Study

REPORT = "report.html"
DOUBLED = " (each arm's is doubled until it has converged on every source)"


def dry_run(study: Study, workers: int) -> tuple[dict[str, Any], str]:
    """The plan at the first budget with ids, and the estimated time and disk."""
    from husai.studies.estimate import estimate
    from husai.studies.plan import plan
    from husai.studies.preflight import check_study

    warnings = check_study(study)
    made = plan(study, study.budgets[0])
    found = estimate(study, workers)
    data = {
        "study": study.plain(),
        "nodes": [{"kind": n.kind, "id": n.id, "title": n.title} for n in made.nodes],
        "seconds": {"low": round(found.low_seconds), "high": round(found.high_seconds)},
        "bytes": found.bytes,
        "workers": workers,
        "warnings": warnings,
    }
    lines = [f"{n.kind:<12} {n.id}  {n.title}" for n in made.nodes]
    low, high = minutes(found.low_seconds), minutes(found.high_seconds)
    lines += [
        f"budgets of steps: {', '.join(map(str, study.budgets))}{DOUBLED if len(study.budgets) > 1 else ''}",
        f"time with {workers} processes: {low} if the first budget is enough, at most about {high}",
        *(f"warning: {text}" for text in warnings),
        f"disk: about {found.bytes / 1e6:.0f} MB; nothing was run",
    ]
    return data, "\n".join(lines)


def minutes(seconds: float) -> str:
    """Seconds in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def verdict(folder: Path, record: RunRecord) -> tuple[dict[str, Any], str]:
    """Verdict in words, what must be known beside it, and the path of the report, always last."""
    found, caveats = record.facts["verdict"], record.facts.get("caveats", [])
    path = (folder / REPORT).resolve()
    data = {"verdict": found, "caveats": caveats, "run": str(folder), "report": str(path), "id": record.id}
    mark = "" if found["words"].startswith(found["state"]) else f"{found['state'].upper()}: "
    return data, "\n".join([f"{mark}{found['words']}", *(f"caveat: {text}" for text in caveats), str(path)])


def study(record: RunRecord) -> str:
    """Tables of a study: stability of every arm on every source, and the contrasts."""
    stability = Table(title=record.facts["question"], title_justify="left")
    for column in ("source", "arm", "mcc_signed, alive", "mcc_signed, all", "explained variance", "L0"):
        stability.add_column(column)
    for m in record.select("mcc_signed", population="alive"):
        place = {"source": m.scope["source"], "arm": m.scope["arm"]}
        everything = record.get("mcc_signed", population="all", **place)
        beside = [_first(record.select(name, **place)) for name in ("explained_variance", "l0")]
        stability.add_row(*place.values(), with_interval(m), with_interval(everything), *beside)
    contrasts = Table(title=f"beyond controls, margin {record.config['margin']:g}", title_justify="left")
    for column in ("source", "against", "difference beyond it (95 %)", "90 %"):
        contrasts.add_column(column)
    for m in record.select("excess", population="alive", level="0.95"):
        place = {"source": m.scope["source"], "control": m.scope["control"], "population": "alive"}
        contrasts.add_row(
            *list(place.values())[:2], with_interval(m), with_interval(record.get("excess", level="0.90", **place))
        )
    return rendered(stability, contrasts)


def record(found: RunRecord) -> str:
    """Every measurement of a record."""
    table = Table(title=f"{found.name}  ({found.kind} {found.id}, {found.status})", title_justify="left")
    for column in ("what", "value", "unit"):
        table.add_column(column, overflow="fold")
    for m in found.measurements:
        table.add_row(m.key, with_interval(m), m.unit)
    recovery = recovered(found)
    return "\n".join([rendered(table), *([recovery.words] if recovery else []), *which_decides(found), *_time(found)])


def _time(found: RunRecord) -> list[str]:
    """Where the time of a training went."""
    parts = found.provenance.parts
    if not parts.get("steps"):
        return []
    waiting = parts["waiting_for_rows"]
    share = f"{waiting:.3g} s ({waiting / parts['steps']:.1%})"
    return [
        f"{found.provenance.seconds:.4g} s, {parts['steps']:.4g} s of it in steps, {share} of these waiting for rows"
    ]


def rendered(*tables: Table, least: int = 0) -> str:
    """Tables as text, as wide as the terminal; `least` columns where numbers would be cut off in fewer."""
    console = Console(highlight=False, soft_wrap=False)
    console.width = max(console.width, least)
    with console.capture() as captured:
        for table in tables:
            console.print(table, markup=False)
    return captured.get().rstrip()


def with_interval(m: Measurement) -> str:
    """A value with its interval, or why it is missing."""
    if m.value is None:
        return f"missing: {m.reason}"
    bounds = m.shown_interval
    if bounds is None or bounds.low is None or bounds.high is None:
        return f"{m.value:.4g}"
    return f"{m.value:.4g} [{bounds.low:.4g}, {bounds.high:.4g}]"


def _first(found: list[Measurement]) -> str:
    return with_interval(found[0]) if found else "not measured"


def report(folder: Path, root: Path, to: Path | None) -> str:
    """Path of the report that the run holds, or of one written afresh from its records into `to`."""
    from husai.report.programme_site import write_programme_report
    from husai.report.replay_site import write_replay_report
    from husai.report.site import write_report
    from husai.report.survey_site import write_survey_report

    found = read_record(folder)
    writers = {
        "study": write_report, "survey": write_survey_report, "replay": write_replay_report,
        "programme": write_programme_report,
    }  # fmt: skip
    if found.kind not in writers:
        raise UserError(
            f"{folder} is a run of kind '{found.kind}': only studies, surveys, replays and programmes have one"
        )
    if to is None:
        if not (folder / REPORT).is_file():
            raise UserError(f"{folder} was written without {REPORT}: write one from its records with --to FOLDER")
        return str((folder / REPORT).resolve())
    by_id = Results(root).by_id()
    missing = [role for role, node in found.parents.items() if node not in by_id]
    if missing:
        raise UserError(f"the record of '{missing[0]}' is not below {root}: give the results folder with --results")
    upstream = {role: (read_record(by_id[node]), by_id[node]) for role, node in found.parents.items()}
    writers[found.kind](found, upstream, make_folder(to))
    return str((to / REPORT).resolve())
