"""What the terminal shows of anything that `husai run` runs: the plan, and the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from husai.store.record import RunRecord
from husai.studies.calibrations.calibration import Calibration
from husai.studies.presenting import present
from husai.studies.presenting import programme as present_programme
from husai.studies.presenting import replay as present_replay
from husai.studies.presenting import survey as present_survey
from husai.studies.programmes.programme import Programme
from husai.studies.replays.replay import Replay
from husai.studies.surveys.survey import Survey

Shown = tuple[dict[str, Any], str]


def dry_run(declared: Any, workers: int) -> Shown:
    """The plan with its cost; nothing is run."""
    if isinstance(declared, Programme):
        found = [(study.name, dry_run(study, workers)) for study in declared.studies]
        data = {"programme": declared.plain(), "studies": {name: data for name, (data, _) in found}}
        return data, "\n".join(f"{name}\n{text}" for name, (_, text) in found)
    if isinstance(declared, Calibration):
        data, text = present_survey.survey_dry_run(declared.survey((declared.search(),)), workers)
        return data, f"{text}\nthe search alone; fresh seeds and planted twins for its winner come after it"
    if isinstance(declared, Replay):
        return present_replay.replay_dry_run(declared, workers)
    if isinstance(declared, Survey):
        return present_survey.survey_dry_run(declared, workers)
    return present.dry_run(declared, workers)


def answer(folder: Path, record: RunRecord) -> Shown:
    """What was found, and the path of the report, always last."""
    return _answers(record.kind)(folder, record)


def shown(folder: Path, record: RunRecord) -> str:
    """The same of a run that is there already; all numbers of one that has no answer."""
    if record.kind == "study":
        return "\n".join([present.study(record), present.verdict(folder, record)[1]])
    return answer(folder, record)[1] if record.kind in ("survey", "replay", "programme") else present.record(record)


def _answers(kind: str) -> Any:
    return {
        "study": present.verdict,
        "survey": present_survey.survey_answer,
        "replay": present_replay.replay_answer,
        "programme": present_programme.programme_answer,
    }[kind]
