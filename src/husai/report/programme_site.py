"""The report of a programme: one page, tables in three formats and figures in two, each with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from husai import events
from husai.errors import UserError
from husai.report import metric_tables, programme_tables
from husai.report.figure import Figure
from husai.report.png import write_png, write_svg
from husai.report.programme_figures import fronts
from husai.report.programme_view import ProgrammeView
from husai.report.rendering import render
from husai.report.summary import listed, table
from husai.report.table_files import origin, write_tables
from husai.store.files import make_folder, write_text
from husai.store.record import RunRecord


def write_programme_report(record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]], folder: Path) -> None:
    """Write report.html, summary.md, tables/ and figures/ into `folder` (a run folder under construction).

    Raises:
        UserError: a record that is no programme.
    """
    if record.kind != "programme":
        raise UserError(f"record {record.id} is of kind '{record.kind}': it has no report of a programme")
    view = ProgrammeView.at(record, upstream, folder)
    drawn, tables = fronts(view), folder / "tables"
    events.report("report", "report", 0, 2)
    for figure in drawn:
        _write_figure(figure, make_folder(folder / "figures"), record)
    write_tables(tables, "hypotheses", [programme_tables.hypotheses(view)], record)
    write_tables(tables, "studies", [programme_tables.studies(view)], record)
    write_tables(tables, "front", [programme_tables.every_arm(view)], record)
    events.report("report", "report", 1, 2)
    write_text(folder / "summary.md", _summary(view))
    write_text(folder / "report.html", render("programme.html", _content(view, drawn)))
    events.report("report", "report", 2, 2)


def _write_figure(figure: Figure, folder: Path, record: RunRecord) -> None:
    """As pixels and as vectors; both say inside where they come from."""
    if not figure.panels:
        return
    made = origin(record)
    said = ", ".join(f"{key} {value}" for key, value in made.items())
    write_png(figure, folder / f"{figure.name}.png", {"Software": f"husai {made['husai']}", "Description": said})
    dublin = {"Title": figure.title, "Creator": f"husai {made['husai']}", "Date": made["date"]}
    write_svg(figure, folder / f"{figure.name}.svg", dublin | {"Identifier": made["record"], "Description": said})


def _content(view: ProgrammeView, drawn: list[Figure]) -> dict[str, Any]:
    t = programme_tables
    return {
        "view": view,
        "hypotheses": [(found, t.claims(found)) for found in view.hypotheses],
        "fronts": [
            {
                "source": arms[0].fact("source"),
                "figure": figure,
                "table": t.front(arms, number),
            }
            for number, (arms, figure) in enumerate(zip(view.sources, drawn, strict=True))
        ],
        "records": metric_tables.records(view),
        "provenance": metric_tables.provenance(view, "programme"),
    }


def _summary(view: ProgrammeView) -> str:
    """Markdown; every number in it also stands in the report."""
    facts, t = view.facts, programme_tables
    found = [f"{h['hypothesis']} ({h['title']}): {h['words']}" for h in facts["hypotheses"]]
    left = [f"{h['hypothesis']}: {text}" for h in facts["hypotheses"] for text in h["not_run"]]
    parts = [
        f"# {view.record.name}",
        facts["question"],
        f"**{facts['answer']}**",
        *listed("Hypotheses", found),
        *listed("Not run", left),
        table(t.studies(view)),
        *(table(t.front(arms, i), arms[0].facts["source"]) for i, arms in enumerate(view.sources)),
        *listed("Remarks", facts.get("remarks", [])),
        "Everything else: report.html; the tables as Markdown, CSV and LaTeX: tables/; figures: figures/.",
    ]
    return "\n\n".join(parts) + "\n"
