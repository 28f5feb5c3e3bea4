"""Running a study: plan, nodes in parallel, budgets doubled until converged, verdict, run folders, report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from husai import events
from husai.report.site import write_report
from husai.studies.computing import Computing
from husai.studies.conclude import Conclusion, conclude
from husai.studies.plan import Plan, plan
from husai.studies.preflight import check_study
from husai.studies.seed_folders import jobs_of, write_seed_folders
from husai.studies.study import Study
from husai.studies.undertaking import Ended, Undertaking, without_places


@dataclass
class Run(Undertaking[Study]):
    """One study in one results folder."""

    kind = "study"

    def identity(self) -> tuple[dict[str, Any], set[str]]:
        """The declaration without the place of a user's file: its content counts, through the nodes."""
        study = self.declared
        nodes = {node.id for steps in study.budgets for node in plan(study, steps).nodes}
        return without_places(study.plain()), nodes

    def warnings(self) -> list[str]:
        """What `check_study` says."""
        return check_study(self.declared)

    def through(self, done: Computing) -> Ended:
        """To the verdict."""
        made, conclusion = self._until_converged(done)
        done.nodes(made.extra)
        write_seed_folders(jobs_of(made), self.results, self.declared.name, done.folders, done.records, done.ledger)
        state = conclusion.decision.state
        return Ended(
            roles=made.roles(),
            measurements=conclusion.measurements,
            facts=conclusion.facts,
            seeds={"root_seed": self.declared.root_seed, "seeds": self.declared.seeds},
            write_report=write_report,
            tag="" if state == "supported" else "negative result",
            verdict=state,
        )

    def _until_converged(self, done: Computing) -> tuple[Plan, Conclusion]:
        """Double an arm's budget until it has converged on every source, or the cap is reached.

        An arm has one budget on all sources, so that its controls are trained as long as its target.
        """
        study = self.declared
        budgets = {arm.name: study.budgets[0] for arm in study.arms}
        while True:
            made = plan(study, budgets)
            done.nodes(made.needed)
            conclusion = conclude(made, done.folders, done.records)
            slow = [key for key, found in conclusion.trained.items() if not found.converged and not found.too_few]
            more = {arm: 2 * budgets[arm] for _, arm in slow if 2 * budgets[arm] <= study.max_steps}
            if not more:
                return made, conclusion
            for arm in more:
                where = ", ".join(source for source, of in slow if of == arm)
                events.log(f"{arm} has not converged at {budgets[arm]} steps, going on to {more[arm]}: {where}")
            budgets |= more


def default_workers() -> int:
    """One process a core, at most 8: each has one thread."""
    return max(1, min(8, os.cpu_count() or 1))
