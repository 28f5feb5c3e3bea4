"""What the terminal shows of programmes: each hypothesis with what it came to, and the path of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from husai.store.record import RunRecord
from husai.studies.presenting.present import REPORT, rendered

SUMMARY = "summary.md"
LEAST = 100  # columns in which words are not broken into letters


def programme_answer(folder: Path, record: RunRecord) -> tuple[dict[str, Any], str]:
    """What the hypotheses came to, and the path of the report, always last."""
    facts = record.facts
    report, summary = (str((folder / name).resolve()) for name in (REPORT, SUMMARY))
    data = {
        "answer": facts["answer"], "hypotheses": facts["hypotheses"], "studies": facts["studies"], "run": str(folder),
        "report": report, "summary": summary, "id": record.id,
    }  # fmt: skip
    answers = [f"{study['study']}: {study['answer'] or 'no answer in its record'}" for study in facts["studies"]]
    known = [facts[name] for name in ("scope", "positive") if facts.get(name)]
    return data, "\n".join([rendered(_table(record), least=LEAST), *known, *answers, report])


def _table(record: RunRecord) -> Table:
    table = Table(title=record.facts["question"], title_justify="left")
    for name in ("hypothesis", "state"):
        table.add_column(name)
    table.add_column("what was found", overflow="fold")
    for found in record.facts["hypotheses"]:
        left = [f"not run: {text}" for text in found["not_run"]]
        table.add_row(f"{found['hypothesis']} {found['title']}", found["state"], "\n".join([found["words"], *left]))
    return table
