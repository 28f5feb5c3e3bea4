"""Running a study: plan, nodes in parallel, budgets doubled until converged, verdict, run folders, report."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from husai import events
from husai.config import content_hash
from husai.errors import HusaiError
from husai.report.site import write_report
from husai.store.files import make_folder
from husai.store.index import Results
from husai.store.layout import building, locked, read_record
from husai.store.provenance import now, provenance
from husai.store.record import RunRecord
from husai.studies.computing import Computing
from husai.studies.conclude import Conclusion, conclude
from husai.studies.ledger import Ledger
from husai.studies.plan import Plan, plan
from husai.studies.preflight import check_study
from husai.studies.seed_folders import jobs_of, write_seed_folders
from husai.studies.study import Study


@dataclass
class Run:
    """One study in one results folder."""

    study: Study
    root: Path
    workers: int = 2

    def __post_init__(self) -> None:
        self.results = Results(self.root)
        self.folder = self.results.study_folder(self.study.name)

    @cached_property
    def id(self) -> str:
        """The study's id: the hash of its declaration and of its nodes, hence of the content of a user's file too."""
        nodes = sorted({node.id for steps in self.study.budgets for node in plan(self.study, steps).nodes})
        declared = self.study.plain()
        declared["target"].pop("path", None)  # the content counts, not the place
        return content_hash({"kind": "study", "study": declared, "nodes": nodes})[:16]

    def start(self) -> tuple[Path, RunRecord]:
        """Run to the end and return the run folder and its record; a finished study is returned as it is.

        Raises:
            UserError: something the user must put right; another process runs this study.
            Interrupted: stopped; what was finished is kept.
        """
        for text in check_study(self.study):
            events.warn(text)
        make_folder(self.folder)
        done = self.results.experiment(self.study.name, self.id)
        if done is not None:
            events.log(f"already complete: {done}")
            return done, read_record(done)
        with locked(self.folder / self.id, f"study {self.study.name} in {self.root}"):
            ledger = Ledger(self.folder)
            ledger.write("started", self.id, self.study.name, config=self.study.plain())
            try:
                return self._through(ledger)
            except (HusaiError, KeyboardInterrupt) as error:
                ledger.failure(self.id, self.study.name, self.study.plain(), error)
                raise

    def _through(self, ledger: Ledger) -> tuple[Path, RunRecord]:
        started, clock = now(), time.monotonic()
        with Computing(self.results, self.workers, ledger) as done:
            made, conclusion = self._until_converged(done)
            done.nodes(made.extra)
        write_seed_folders(jobs_of(made), self.results, self.study.name, done.folders, done.records, ledger)
        return self._file(made, conclusion, done, started, clock)

    def _until_converged(self, done: Computing) -> tuple[Plan, Conclusion]:
        """Double an arm's budget until it has converged on every source, or the cap is reached.

        An arm has one budget on all sources, so that its controls are trained as long as its target.
        """
        budgets = {arm.name: self.study.budgets[0] for arm in self.study.arms}
        while True:
            made = plan(self.study, budgets)
            done.nodes(made.needed)
            conclusion = conclude(made, done.folders, done.records)
            slow = [key for key, found in conclusion.trained.items() if not found.converged]
            more = {arm: 2 * budgets[arm] for _, arm in slow if 2 * budgets[arm] <= self.study.max_steps}
            if not more:
                return made, conclusion
            for arm in more:
                where = ", ".join(source for source, of in slow if of == arm)
                events.log(f"{arm} has not converged at {budgets[arm]} steps, going on to {more[arm]}: {where}")
            budgets |= more

    def _file(
        self, made: Plan, conclusion: Conclusion, done: Computing, started: str, clock: float
    ) -> tuple[Path, RunRecord]:
        """Write the study's own run folder, with the report inside when it is renamed."""
        name = f"{self.study.name}_{done.ledger.first_start(self.id)}_{self.id[:8]}"
        parents = {role: node.id for role, node in made.roles().items()}
        with building(self.folder / name, self.id) as draft:
            record = RunRecord(
                id=self.id,
                kind="study",
                name=self.study.name,
                status="ran",
                config=self.study.plain(),
                seeds={"root_seed": self.study.root_seed, "seeds": self.study.seeds},
                parents=parents,
                provenance=provenance(started, time.monotonic() - clock),
                measurements=conclusion.measurements,
                facts=conclusion.facts,
            )
            upstream = {role: (done.records[i], done.folders[i]) for role, i in parents.items()}
            write_report(record, upstream, draft.path)
            record = draft.complete(record)
        tag = "" if conclusion.decision.state == "supported" else "negative result"
        done.ledger.write("finished", self.id, self.study.name, tag, verdict=conclusion.decision.state)
        return self.folder / name, record


def default_workers() -> int:
    """One process a core, at most 8: each has one thread."""
    return max(1, min(8, os.cpu_count() or 1))
