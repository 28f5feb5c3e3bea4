"""The report of a replay: one page that needs no network, its figure as PNG, and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from husai import events
from husai.errors import UserError
from husai.report import metric_tables, model_tables
from husai.report.cells import plain
from husai.report.png import write_png
from husai.report.rendering import render
from husai.report.replay_figures import over_k
from husai.report.replay_view import COLUMNS, ReplayView, overview
from husai.report.summary import listed
from husai.report.view import Upstream
from husai.store.files import make_folder, write_text
from husai.store.record import RunRecord


def write_replay_report(record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]], folder: Path) -> None:
    """Write report.html, plots/*.png and summary.md into `folder` (a run folder under construction).

    Raises:
        UserError: a record that is no replay, a record that is not readable, a full disk.
    """
    if record.kind != "replay":
        raise UserError(f"record {record.id} is of kind '{record.kind}': it has no report of a replay")
    view = ReplayView.of(record, upstream)
    figure = over_k(view)
    events.report("report", "report", 0, 1)
    if figure.panels:
        write_png(figure, make_folder(folder / "plots") / f"{figure.name}.png")
    write_text(folder / "summary.md", replay_summary(view))
    content = {
        "view": view,
        "columns": COLUMNS,
        "overview": overview(view),
        "figure": figure,
        "models": [(up.fact("name"), model_tables.sanity_of(up)) for up in models(view)],
        "records": metric_tables.records(view),
        "provenance": metric_tables.provenance(view, "replay"),
    }
    write_text(folder / "report.html", render("replay.html", content))
    events.report("report", "report", 1, 1)


def models(view: ReplayView) -> list[Upstream]:
    """Models that were read."""
    return [up for up in view.upstream.values() if up.record.kind == "model"]


def replay_summary(view: ReplayView) -> str:
    """Markdown text; every number in it also stands in the report."""
    facts = view.facts
    said = [
        f"{plain(claim.fact('claim'))}: {plain(claim.fact('title'))}. {plain(claim.fact('words'))}."
        for claim in view.claims
    ]
    parts = [
        f"# {view.record.name}",
        facts["question"],
        f"**{facts['answer']}**",
        f"Scale: {facts['scale']}.",
        *listed("Claims", said),
        *listed("Warnings", facts["warnings"]),
        "Everything else: report.html.",
    ]
    return "\n\n".join(parts) + "\n"
