"""The summary of a survey in Markdown: what was found, table by table, all from the record."""

from __future__ import annotations

from husai.report import survey_tables as tables
from husai.report.cells import plain
from husai.report.summary import listed, table
from husai.report.survey_view import SurveyView


def survey_summary(view: SurveyView) -> str:
    """Markdown text; every number in it also stands in the report."""
    facts = view.facts
    answers = [f"{plain(found.title)}: {plain(found.words)}" for found in view.comparisons]
    parts = [
        f"# {view.record.name}",
        facts["question"],
        f"**{plain(view.fact('facts.answer'))}**",
        *listed("What was found", answers),
        table(tables.settings(view)),
        *(table(tables.arms(found), f"{plain(found.title)}: arms and controls") for found in view.comparisons),
        *(table(made, f"{plain(found.title)}: {made.caption}") for found in view.comparisons
          if (made := tables.truth(found)).rows),
        *listed("Not run", facts.get("not_run", [])),
        *listed("Warnings", facts.get("warnings", [])),
        *listed("Remarks", facts.get("remarks", [])),
        "Everything else: report.html; every number of every arm: arms.csv.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"
