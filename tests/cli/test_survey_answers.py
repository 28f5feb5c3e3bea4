"""What the commands that look at finished runs say of a survey."""

from __future__ import annotations

import csv
import io
import json
from typing import Any


def test_report_show_features_and_audit(husai: Any, built_survey: Any, surveys: Any, tmp_path: Any) -> None:
    run, results = built_survey.folder, ("--results", built_survey.root)
    path = str((run / "report.html").resolve())
    assert husai("report", "built-survey", *results).out.strip() == path
    again = husai("report", run, "--to", tmp_path / "pages", *results)
    assert again.out.strip() == str(tmp_path / "pages" / "report.html")
    assert (tmp_path / "pages" / "report.html").read_bytes() == (run / "report.html").read_bytes()
    assert husai("show", run, *results).out.splitlines()[-1] == path
    assert json.loads(husai("show", run, "--json", *results).out)["facts"]["answer"]
    said = husai("features", "built-survey", "--arm", "relu-2", "--setting", "model", "--seed", 1, *results)
    assert len(list(csv.DictReader(io.StringIO(said.out)))) == surveys.F
    none = husai("features", "built-survey", *results)
    assert none.code == 2 and "a survey has 12 arms: name one, such as --arm topk-2 --setting model" in none.err
    assert husai("audit", built_survey.root).code == 0
