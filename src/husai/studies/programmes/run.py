"""Running a programme: one study after the other, each resumable by itself, then the hypotheses and one report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from husai import events
from husai.report.programme_site import write_programme_report
from husai.studies.calibrations.calibration import Calibration
from husai.studies.calibrations.run import CalibrationRun
from husai.studies.computing import Computing
from husai.studies.node import Node
from husai.studies.programmes.conclude import conclude_programme
from husai.studies.programmes.finished import Finished
from husai.studies.programmes.programme import Programme
from husai.studies.replays.replay import Replay
from husai.studies.replays.run import ReplayRun
from husai.studies.runner import Run
from husai.studies.study import Study
from husai.studies.surveys.run import SurveyRun
from husai.studies.surveys.survey import Survey
from husai.studies.undertaking import Ended, Undertaking, without_places


def undertaking(declared: Any, root: Path, workers: int) -> Undertaking[Any]:
    """What runs a declaration of any kind."""
    kinds = {Study: Run, Survey: SurveyRun, Calibration: CalibrationRun, Replay: ReplayRun, Programme: ProgrammeRun}
    return kinds[type(declared)](declared, root, workers)


@dataclass
class ProgrammeRun(Undertaking[Programme]):
    """One programme in one results folder; its studies are found there under their own names, too."""

    kind = "programme"

    def identity(self) -> tuple[dict[str, Any], set[str]]:
        """The declaration and the ids of its studies."""
        return without_places(self.declared.plain()), {one.id for one in self._studies()}

    def warnings(self) -> list[str]:
        """Each study says its own when it starts; what cannot work is refused now, before any of them runs."""
        for one in self._studies():
            one.warnings()
        return []

    def through(self, done: Computing) -> Ended:
        """Every study to its end, then what they decide."""
        finished = []
        for number, one in enumerate(self._studies()):
            events.log(f"study {number + 1} of {len(self.declared.studies)}: {one.declared.name}")
            folder, record = one.start()
            finished.append(Finished(one.declared.name, record, folder))
        measurements, facts = conclude_programme(self.declared, finished)
        roles = {f"study {study.name}": _node(study) for study in finished}
        done.nodes(roles.values())
        return Ended(roles, measurements, facts, {}, write_programme_report)

    def _studies(self) -> list[Undertaking[Any]]:
        return [undertaking(study, self.root, self.workers) for study in self.declared.studies]


def _node(study: Finished) -> Node:
    """A finished study among the parents of the programme's record."""
    return Node(study.record.kind, study.name, {}, fixed_id=study.record.id, given=study.folder)
