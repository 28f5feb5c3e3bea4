"""What the terminal shows of a programme: its hypotheses, and the path of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from husai.store.record import RunRecord
from husai.studies.present import REPORT


def programme_answer(folder: Path, record: RunRecord) -> tuple[dict[str, Any], str]:
    """Every hypothesis with its state and words; the path of the report is always last."""
    report = str((folder / REPORT).resolve())
    data = {"answer": record.facts["answer"], "hypotheses": record.facts["hypotheses"], "report": report}
    lines = [f"{h['hypothesis']} {h['title']}: {h['words']}" for h in record.facts["hypotheses"]]
    return data | {"run": str(folder), "id": record.id}, "\n".join([*lines, report])
