"""What each kind of declaration is run by, and how its plan and its answer are put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from husai.store.record import RunRecord
from husai.studies import present, present_replay, present_survey
from husai.studies.replay import Replay
from husai.studies.replay_run import ReplayRun
from husai.studies.runner import Run
from husai.studies.study import Study
from husai.studies.survey import Survey
from husai.studies.survey_run import SurveyRun
from husai.studies.undertaking import Undertaking

Shown = tuple[dict[str, Any], str]


@dataclass(frozen=True)
class Kind:
    """The run of a kind, and what the terminal shows before and after it."""

    run: Callable[[Any, Path, int], Undertaking[Any]]
    dry_run: Callable[[Any, int], Shown]
    answer: Callable[[Path, RunRecord], Shown]


def undertaking(declared: Study | Survey | Replay) -> Kind:
    """The kind of a declaration."""
    if isinstance(declared, Survey):
        return Kind(SurveyRun, present_survey.survey_dry_run, present_survey.survey_answer)
    if isinstance(declared, Replay):
        return Kind(ReplayRun, present_replay.replay_dry_run, present_replay.replay_answer)
    return Kind(Run, present.dry_run, present.verdict)
