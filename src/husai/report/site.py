"""The report of a study: one page that needs no network, its figures as PNG, the summary and the table of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from husai import events
from husai.errors import UserError
from husai.report import metric_tables, model_tables, tables
from husai.report.features import FILE, Features, features
from husai.report.figure import Figure, Picture
from husai.report.figures import density, forest, over_steps, reconstruction
from husai.report.heatmap import matches
from husai.report.pixels import png_bytes
from husai.report.png import write_png
from husai.report.rendering import render
from husai.report.summary import summary
from husai.report.view import View
from husai.store.files import make_folder, write_bytes, write_text
from husai.store.record import RunRecord

STATES = {"supported": "✓", "not beyond": "✕", "undecided": "?", "no verdict": "\N{EN DASH}"}


@dataclass(frozen=True)
class Made:
    """Everything that goes into the page, made once."""

    view: View
    figures: dict[str, Figure]
    features: Features


def write_report(record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]], folder: Path) -> None:
    """Write report.html, plots/*.png, summary.md and features.csv into `folder` (a run folder under construction).

    `upstream` holds, by role, the records that the study's record was made from, and their run folders.

    Raises:
        UserError: a record that is no study, a file that a record lists and that is not readable, a full disk.
    """
    if record.kind != "study":
        raise UserError(f"record {record.id} is of kind '{record.kind}': only a study has a report")
    view = View.of(record, upstream)
    found = (forest(view), over_steps(view), reconstruction(view), matches(view), density(view))
    made = Made(view, {figure.name: figure for figure in found}, features(view))
    plots = make_folder(folder / "plots")
    for number, figure in enumerate(found):
        events.report("report", "report", number, len(found) + 1)
        write_png(figure, plots / f"{figure.name}.png")
        for panel in figure.panels:
            for item in panel.items:
                if isinstance(item, Picture):
                    write_bytes(folder / item.artefact, png_bytes(item.pixels))
    write_text(folder / FILE, made.features.csv())
    write_text(folder / "summary.md", summary(view))
    write_text(folder / "report.html", page(made))
    events.report("report", "report", len(found) + 1, len(found) + 1)


def page(made: Made) -> str:
    """The page as HTML."""
    return render("report.html", _content(made))


def _content(made: Made) -> dict[str, Any]:
    view = made.view
    verdict = view.facts["verdict"]
    return {
        "view": view,
        "state": verdict["state"],
        "sign": STATES[verdict["state"]],
        "figures": made.figures,
        "features": made.features,
        "features_json": Markup(made.features.json()),
        "reasons": [view.fact(f"facts.verdict.reasons.{i}.text") for i in range(len(verdict["reasons"]))],
        "outcomes": [view.fact(f"facts.verdict.outcomes.{i}.words") for i in range(len(verdict["outcomes"]))],
        "stability": tables.stability(view),
        "starts": tables.starts(view),
        "level": tables.first_level([m for m in view.record.measurements if m.name == tables.STATISTIC], view.id),
        "excess": tables.excess(view),
        "quality": tables.quality(view),
        "arms": tables.arms(view),
        "sources": tables.sources(view),
        "convergence": tables.convergence(view),
        "planted": tables.planted(view),
        "sanity": model_tables.sanity(view),
        "held_out": model_tables.held_out(view),
        "recovered": model_tables.recovered(view),
        "splice": model_tables.splice(view),
        "fourier": model_tables.fourier(view),
        "frequencies": model_tables.frequencies(view),
        "metrics": metric_tables.all_metrics(view),
        "records": metric_tables.records(view),
        "provenance": metric_tables.provenance(view),
        "settings": metric_tables.settings(view),
    }
