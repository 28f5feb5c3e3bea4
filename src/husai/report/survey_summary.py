"""The summary of a survey in Markdown: what was found, table by table, all from the record."""

from __future__ import annotations

from husai.report import survey_tables as tables
from husai.report.calibration_view import calibrated, candidates, criteria
from husai.report.cells import plain
from husai.report.claim_tables import ClaimView, claims, differences
from husai.report.level_tables import levels
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
        *_calibration(view),
        *listed("Claims", [_claim(claim) for claim in claims(view)]),
        *(table(differences(claim), f"{claim.facts['claim']}: over each control") for claim in claims(view)),
        *listed("What was found", answers),
        table(tables.settings(view)),
        *(table(tables.arms(found), f"{plain(found.title)}: arms and controls") for found in view.comparisons),
        *(table(made, f"{plain(found.title)}: {made.caption}") for found in view.comparisons
          if (made := tables.truth(found)).rows),
        *(table(made, f"{view.settings[i]}: {made.caption}") for i in range(len(view.settings))
          for made in levels(view, i)),
        *listed("Not run", facts.get("not_run", [])),
        *listed("Warnings", facts.get("warnings", [])),
        *listed("Remarks", facts.get("remarks", [])),
        "Everything else: report.html; every number of every arm: arms.csv.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _calibration(view: SurveyView) -> list[str]:
    """Criteria and candidates of a calibration; its recommendation is the answer."""
    found = calibrated(view)
    if found is None:
        return []
    each = [table(candidates(search), f"Every k on {plain(search.title)}") for search in found.searches]
    return [table(criteria(found)), *each]


def _claim(claim: ClaimView) -> str:
    """Title and words, and what the stabilities alone would have said where that is something else."""
    bare = f" (without controls: {claim.facts['without_controls']})" if claim.overturned else ""
    return f"{claim.facts['claim']}: {claim.facts['title']}: {claim.facts['words']}{bare}"
