"""Running a survey: nodes in parallel, budgets doubled for arms that have not converged, run folders, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from husai import events
from husai.report.survey_site import write_survey_report
from husai.store.index import Results
from husai.studies.computing import Computing
from husai.studies.plan import TARGET
from husai.studies.seed_folders import SeedJob, write_seed_folders
from husai.studies.surveys.conclude import SurveyConclusion, conclude_survey
from husai.studies.surveys.plan import UNTRAINED_STEPS, Budgets, SurveyPlan, first_budgets, seeds_of, survey_plan
from husai.studies.surveys.preflight import check_survey
from husai.studies.surveys.survey import Survey
from husai.studies.undertaking import Ended, Undertaking, without_places


@dataclass
class SurveyRun(Undertaking[Survey]):
    """One survey in one results folder."""

    kind = "survey"

    def identity(self) -> tuple[dict[str, Any], set[str]]:
        """The declaration and its nodes at the first budgets: others where another tool trains an arm, or is missing.

        That husai trains an arm is not said, so that surveys keep the ids that they had before it could be otherwise.
        """
        declared = without_places(self.declared.plain())
        for arm in (arm for setting in declared["settings"] for arm in setting["arms"]):
            if arm["trained_by"] == "husai":
                del arm["trained_by"]
        return declared, {node.id for node in survey_plan(self.declared, first_budgets(self.declared)).nodes}

    def warnings(self) -> list[str]:
        """What `check_survey` says."""
        return check_survey(self.declared)

    def through(self, done: Computing) -> Ended:
        """To what may be ranked and what is decided."""
        made, conclusion = converge(self.declared, done)
        return ended(made, conclusion, done, self.results)


def ended(made: SurveyPlan, conclusion: SurveyConclusion, done: Computing, results: Results) -> Ended:
    """Write the folders of seeds; what goes into the survey's own record."""
    write_seed_folders(_jobs(made), results, made.survey.name, done.folders, done.records, done.ledger)
    return Ended(
        roles=made.roles(),
        measurements=conclusion.measurements,
        facts=conclusion.facts,
        seeds={"root_seed": made.survey.root_seed},
        write_report=write_survey_report,
    )


def converge(survey: Survey, done: Computing) -> tuple[SurveyPlan, SurveyConclusion]:
    """Double an arm's budget until it has converged on its source and on every control, or the cap is reached."""
    budgets = first_budgets(survey)
    while True:
        made = survey_plan(survey, budgets)
        done.nodes(made.nodes)
        conclusion = conclude_survey(made, done.folders, done.records)
        more = _more(survey, budgets, conclusion)
        if not more:
            break
        events.log(f"{len(more)} of {len(budgets)} arms have not converged; their budgets are doubled")
        budgets |= more
    if made.extra:
        done.nodes(made.extra)
        conclusion = conclude_survey(made, done.folders, done.records)
    return made, conclusion


def _more(survey: Survey, budgets: Budgets, conclusion: SurveyConclusion) -> Budgets:
    """Arms whose budgets are to be doubled; where a setting wants the same steps for all, all of its trained arms."""
    settings = {setting.name: setting for setting in survey.settings}
    slow = {
        key for key, on in conclusion.trained.items() if any(not c.converged and not c.too_few for c in on.values())
    }
    slow |= {
        key
        for key, steps in budgets.items()
        if settings[key[0]].same_steps and steps > UNTRAINED_STEPS and any(of == key[0] for of, _ in slow)
    }
    return {key: 2 * budgets[key] for key in sorted(slow) if 2 * budgets[key] <= settings[key[0]].max_steps}


def _jobs(made: SurveyPlan) -> list[SeedJob]:
    """The stacks on the sources themselves, at the arms' budgets: each of their seeds gets a run folder."""
    found = []
    for setting in made.survey.settings:
        for arm in setting.arms:
            key = (setting.name, TARGET, arm.name, made.budgets[setting.name, arm.name])
            task = f"{setting.name}-{arm.name}"
            seeds = seeds_of(setting, TARGET)
            found.append(SeedJob(made.survey.name, task, made.stacks[key], made.measures[key], seeds))
    return found
