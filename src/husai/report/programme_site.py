"""The report of a programme: one page, tables in three formats and figures in two, each with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from husai.errors import UserError
from husai.store.record import RunRecord


def write_programme_report(record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]], folder: Path) -> None:
    """Write report.html, summary.md, tables/ and figures/ into `folder` (a run folder under construction).

    Raises:
        UserError: a record that is no programme.
    """
    if record.kind != "programme":
        raise UserError(f"record {record.id} is of kind '{record.kind}': it has no report of a programme")
