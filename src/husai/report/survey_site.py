"""The report of a survey: one page that needs no network, its figures as PNG, the summary and a table of all arms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from husai import events
from husai.errors import UserError
from husai.report import metric_tables, model_tables
from husai.report import survey_tables as tables
from husai.report.arms_csv import FILE, arms_csv
from husai.report.calibration_view import calibrated, candidates, criteria, projections
from husai.report.claim_tables import claims, differences
from husai.report.figure import Figure
from husai.report.level_tables import levels
from husai.report.png import write_png
from husai.report.rendering import render
from husai.report.step_figures import over_steps
from husai.report.survey_figures import sparsity, stability, together, truth
from husai.report.survey_summary import survey_summary
from husai.report.survey_view import SurveyView
from husai.report.table_files import write_tables
from husai.store.files import make_folder, write_text
from husai.store.record import RunRecord


def write_survey_report(record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]], folder: Path) -> None:
    """Write report.html, plots/, summary.md, arms.csv and tables/arms.* into `folder` (a run folder being built).

    `upstream` holds, by role, the records that the survey's record was made from, and their run folders.

    Raises:
        UserError: a record that is no survey, a record that is not readable, a full disk.
    """
    if record.kind != "survey":
        raise UserError(f"record {record.id} is of kind '{record.kind}': it has no report of a survey")
    view = SurveyView.of(record, upstream)
    figures = [[sparsity(view, i), stability(view, i)] for i in range(len(view.settings))]
    known, steps = truth(view), [over_steps(view, i) for i in range(len(view.settings))]
    found = calibrated(view)
    falling = [projections(found)] if found else []
    plots, drawn = make_folder(folder / "plots"), [*(f for pair in figures for f in pair), known, *steps, *falling]
    for number, figure in enumerate(drawn):
        events.report("report", "report", number, len(drawn) + 1)
        if figure.panels:
            write_png(figure, plots / f"{_file(view, figure)}.png")
    events.report("report", "report", len(drawn), len(drawn) + 1)
    write_text(folder / FILE, arms_csv(view))
    write_tables(folder / "tables", "arms", [tables.arms(one) for one in view.comparisons], view.record, csv=False)
    write_text(folder / "summary.md", survey_summary(view))
    write_text(folder / "report.html", render("survey.html", _content(view, figures, known, steps)))
    events.report("report", "report", len(drawn) + 1, len(drawn) + 1)


def _file(view: SurveyView, figure: Figure) -> str:
    """Named for the setting rather than for its number."""
    name, _, setting = figure.name.partition("-")
    return f"{name}-{view.settings[int(setting)]}" if setting else name


def _content(view: SurveyView, figures: list[list[Figure]], known: Figure, steps: list[Figure]) -> dict[str, Any]:
    found = {table.number: table for table in view.comparisons}
    return {
        "view": view,
        "t": tables,
        "claims": [(claim, differences(claim)) for claim in claims(view)],
        "calibration": _calibration(view),
        "ranking": any(_ranked(view, i) for i in range(len(view.settings))),
        "settings": [
            {
                "name": view.setting(i),
                "ranked": _ranked(view, i),
                "tables": view.comparisons_of(i),
                "figure": together(pair),
                "levels": levels(view, i),
                "steps": curves,
            }
            for i, (pair, curves) in enumerate(zip(figures, steps, strict=True))
        ],
        "truths": [
            (table.title, made, tables.truth_found(table))
            for table in found.values()
            if (made := tables.truth(table)).rows
        ],
        "truth": known,
        "models": [(up.fact("name"), model_tables.sanity_of(up)) for up in view.of_kind("model")],
        "records": metric_tables.records(view),
        "provenance": metric_tables.provenance(view, "survey"),
    }


def _calibration(view: SurveyView) -> dict[str, Any] | None:
    """What a calibration shows first."""
    found = calibrated(view)
    if found is None:
        return None
    searches = [(search, candidates(search)) for search in found.searches]
    return {"found": found, "criteria": criteria(found), "searches": searches, "figure": projections(found)}


def _ranked(view: SurveyView, setting: int) -> bool:
    """Whether arms of a setting could be ranked: of some of them an L0 was requested."""
    arms = [arm for arm in view.arms if arm.setting == setting]
    return view.facts["settings"][setting]["ranked"] and any(arm.facts["requested_l0"] is not None for arm in arms)
