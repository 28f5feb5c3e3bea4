"""What the commands that look at finished runs say of a programme and of a calibration."""

from __future__ import annotations

from typing import Any


def test_report_show_and_audit(husai: Any, built_programme: Any) -> None:
    results = ("--results", built_programme.root)
    path = str((built_programme.folder / "report.html").resolve())
    assert husai("report", "programme", *results).out.strip() == path
    assert husai("show", "programme", *results).out.splitlines()[-1] == path
    said = husai("show", "calibrated", *results).out
    assert said.startswith(built_programme.calibrated.record.facts["calibration"]["words"])
    assert husai("audit", built_programme.root).code == 0
    assert husai("audit", built_programme.folder).code == 0


def test_a_run_without_a_report(husai: Any, built_programme: Any) -> None:
    node = next(p for p in (built_programme.root / "nodes").iterdir() if p.is_dir() and not p.name.startswith("."))
    said = husai("report", node, "--results", built_programme.root)
    assert said.code == 2 and "only studies, surveys, replays and programmes have one" in said.err
