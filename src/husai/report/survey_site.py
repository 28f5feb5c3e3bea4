"""The report of a survey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from husai.store.files import write_text
from husai.store.record import RunRecord


def write_survey_report(record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]], folder: Path) -> None:
    """Write summary.md into `folder` (a run folder under construction)."""
    lines = [f"# {record.name}", "", record.facts["question"], ""]
    for arm in record.facts["arms"]:
        where = {"setting": arm["setting"], "arm": arm["arm"]}
        cells = [f"{name} {_first(record, name, **where)}" for name in ("explained_variance", "l0", "least_excess")]
        lines.append(f"- {arm['setting']} {arm['arm']}: {arm['says']}; {'; '.join(cells)}; {'; '.join(arm['reasons'])}")
    write_text(folder / "summary.md", "\n".join(lines) + "\n")


def _first(record: RunRecord, name: str, **scope: str) -> str:
    found = record.select(name, **scope)
    return "missing" if not found or found[0].value is None else f"{found[0].value:.4g}"
