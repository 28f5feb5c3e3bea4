"""Running a calibration: the search first, then fresh seeds and planted twins for the k that won it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from husai import events
from husai.studies.calibrations.calibration import Calibration, arm_name
from husai.studies.calibrations.choice import recommendation, search
from husai.studies.computing import Computing
from husai.studies.surveys.conclude import SurveyConclusion
from husai.studies.surveys.evidence import ArmEvidence
from husai.studies.surveys.plan import SurveyPlan, first_budgets, survey_plan
from husai.studies.surveys.preflight import check_survey
from husai.studies.surveys.run import converge, ended
from husai.studies.undertaking import Ended, Undertaking, without_places


@dataclass
class CalibrationRun(Undertaking[Calibration]):
    """One calibration in one results folder; its record is that of a survey, and says what may be recommended."""

    kind = "survey"

    def identity(self) -> tuple[dict[str, Any], set[str]]:
        """The declaration, and the nodes of the search at the first budgets."""
        first = self.declared.survey((self.declared.search(),))
        return without_places(self.declared.plain()), {
            node.id for node in survey_plan(first, first_budgets(first)).nodes
        }

    def warnings(self) -> list[str]:
        """What `check_survey` says of the search."""
        return check_survey(self.declared.survey((self.declared.search(),)))

    def through(self, done: Computing) -> Ended:
        """Search, then what the winner needs; everything judged together at the end."""
        declared = self.declared
        made, conclusion = converge(declared.survey((declared.search(),)), done)
        first = search(declared, made.survey.settings[0].name, _evidence(made, done), conclusion.trained)
        if first.winner is not None:
            events.log(f"k = {first.winner} wins the search; now fresh seeds and planted twins")
            made, conclusion = self._confirmed(made, first.winner, done)
        found = recommendation(declared, _evidence(made, done), conclusion.trained, conclusion.facts["claims"])
        end = ended(made, conclusion, done, self.results)
        facts = end.facts | {"calibration": found, "answer": found["words"]}
        tag = "" if found["recommended"] is not None else "negative result"
        return replace(end, facts=facts, config=made.survey.plain() | {"calibration": declared.plain()}, tag=tag)

    def _confirmed(self, made: SurveyPlan, winner: int, done: Computing) -> tuple[SurveyPlan, SurveyConclusion]:
        declared = self.declared
        steps = made.budgets[declared.search().name, arm_name(winner)]
        settings = (
            declared.search(),
            declared.confirmation(winner, steps),
            *(declared.twin(known) for known in declared.twins(winner)),
        )
        return converge(declared.survey(settings, declared.claims(winner)), done)


def _evidence(made: SurveyPlan, done: Computing) -> dict[tuple[str, str], ArmEvidence]:
    return {
        (setting.name, arm.name): ArmEvidence(made, setting, arm, done.folders, done.records)
        for setting in made.survey.settings
        for arm in setting.arms
    }
