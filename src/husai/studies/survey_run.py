"""Running a survey: nodes in parallel, budgets doubled for arms that have not converged, run folders, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from husai import events
from husai.config import content_hash
from husai.errors import HusaiError
from husai.report.survey_site import write_survey_report
from husai.store.files import make_folder
from husai.store.index import Results
from husai.store.layout import building, locked, read_record
from husai.store.provenance import now, provenance
from husai.store.record import RunRecord
from husai.studies.computing import Computing
from husai.studies.ledger import Ledger
from husai.studies.plan import TARGET
from husai.studies.seed_folders import SeedJob, write_seed_folders
from husai.studies.survey import Survey
from husai.studies.survey_conclude import SurveyConclusion, conclude_survey
from husai.studies.survey_plan import Budgets, SurveyPlan, first_budgets, seeds_of, survey_plan
from husai.studies.survey_preflight import check_survey


@dataclass
class SurveyRun:
    """One survey in one results folder."""

    survey: Survey
    root: Path
    workers: int = 2

    def __post_init__(self) -> None:
        self.results = Results(self.root)
        self.folder = self.results.study_folder(self.survey.name)

    @cached_property
    def id(self) -> str:
        """The survey's id: the hash of its declaration and of its first nodes."""
        nodes = sorted(node.id for node in survey_plan(self.survey, first_budgets(self.survey)).nodes)
        return content_hash({"kind": "survey", "survey": self.survey.plain(), "nodes": nodes})[:16]

    def start(self) -> tuple[Path, RunRecord]:
        """Run to the end and return the run folder and its record; a finished survey is returned as it is.

        Raises:
            UserError: something the user must put right; another process runs this survey.
            Interrupted: stopped; what was finished is kept.
        """
        for text in check_survey(self.survey):
            events.warn(text)
        make_folder(self.folder)
        done = self.results.experiment(self.survey.name, self.id)
        if done is not None:
            events.log(f"already complete: {done}")
            return done, read_record(done)
        with locked(self.folder / self.id, f"study {self.survey.name} in {self.root}"):
            ledger = Ledger(self.folder)
            ledger.write("started", self.id, self.survey.name, config=self.survey.plain())
            try:
                return self._through(ledger)
            except (HusaiError, KeyboardInterrupt) as error:
                ledger.failure(self.id, self.survey.name, self.survey.plain(), error)
                raise

    def _through(self, ledger: Ledger) -> tuple[Path, RunRecord]:
        started, clock = now(), time.monotonic()
        with Computing(self.results, self.workers, ledger) as done:
            made, conclusion = self._until_converged(done)
        write_seed_folders(_jobs(made), self.results, self.survey.name, done.folders, done.records, ledger)
        return self._file(made, conclusion, done, started, clock)

    def _until_converged(self, done: Computing) -> tuple[SurveyPlan, SurveyConclusion]:
        """Double an arm's budget until it has converged on its source and on every control, or the cap is reached."""
        budgets = first_budgets(self.survey)
        while True:
            made = survey_plan(self.survey, budgets)
            done.nodes(made.nodes)
            conclusion = conclude_survey(made, done.folders, done.records)
            more = self._more(budgets, conclusion)
            if not more:
                return made, conclusion
            events.log(f"{len(more)} of {len(budgets)} arms have not converged; their budgets are doubled")
            budgets |= more

    def _more(self, budgets: Budgets, conclusion: SurveyConclusion) -> Budgets:
        caps = {setting.name: setting.max_steps for setting in self.survey.settings}
        return {
            key: 2 * budgets[key]
            for key, groups in conclusion.trained.items()
            if 2 * budgets[key] <= caps[key[0]] and not all(c.converged for c in groups.values())
        }

    def _file(
        self, made: SurveyPlan, conclusion: SurveyConclusion, done: Computing, started: str, clock: float
    ) -> tuple[Path, RunRecord]:
        """Write the survey's own run folder, with the report inside when it is renamed."""
        name = f"{self.survey.name}_{done.ledger.first_start(self.id)}_{self.id[:8]}"
        parents = {role: node.id for role, node in made.roles().items()}
        with building(self.folder / name, self.id) as draft:
            record = RunRecord(
                id=self.id,
                kind="survey",
                name=self.survey.name,
                status="ran",
                config=self.survey.plain(),
                seeds={"root_seed": self.survey.root_seed},
                parents=parents,
                provenance=provenance(started, time.monotonic() - clock),
                measurements=conclusion.measurements,
                facts=conclusion.facts,
            )
            upstream = {role: (done.records[i], done.folders[i]) for role, i in parents.items()}
            write_survey_report(record, upstream, draft.path)
            record = draft.complete(record)
        done.ledger.write("finished", self.id, self.survey.name)
        return self.folder / name, record


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
