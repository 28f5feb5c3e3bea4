"""`husai features` of a survey: one arm's table, from the node that measured it, or one line that says what to do."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from husai.errors import UserError
from husai.store.features import feature_lines


def test_the_table_of_an_arm(built_survey: Any, surveys: Any) -> None:
    rows = list(csv.DictReader(feature_lines(built_survey.folder, "topk-2", None)))
    assert len(rows) == surveys.S * surveys.F
    assert list(rows[0]) == ["setting", "source", "arm", "seed", "feature", "alive", "frequency"]
    assert {(r["setting"], r["source"], r["arm"]) for r in rows} == {("model", "target", "topk-2")}
    own = list(csv.DictReader(feature_lines(built_survey.folder, "topk-2", 3, "model")))
    assert own == [r for r in rows if r["seed"] == "3"]


@pytest.mark.parametrize(
    ("arm", "seed", "setting", "words"),
    [
        (None, None, None, "a survey has 12 arms: name one, such as --arm topk-2 --setting model"),
        ("topk-3", None, None, "unknown arm 'topk-3'"),
        ("topk-2", None, "planted", "unknown arm 'topk-2'"),
        ("topk-2", None, "plant", "unknown setting 'plant'"),
        ("topk-2", 9, None, "unknown seed '9'"),
    ],
)
def test_what_a_user_can_get_wrong(arm: Any, seed: Any, setting: Any, words: str, built_survey: Any) -> None:
    with pytest.raises(UserError, match=words):
        list(feature_lines(built_survey.folder, arm, seed, setting))


def test_an_arm_of_two_settings(built_survey: Any, surveys: Any, tmp_path: Path) -> None:
    first = surveys.survey().settings[1]
    same = surveys.survey().model_copy(update={"settings": (first, first.model_copy(update={"name": "again"}))})
    built = surveys.build(tmp_path / "results", same)
    with pytest.raises(UserError, match="arm 'true' stands in planted, again: choose one with --setting"):
        list(feature_lines(built.folder, "true", None))
    assert len(list(feature_lines(built.folder, "true", 0, "again"))) == 1 + surveys.F


def test_a_run_folder_that_stands_alone(built_survey: Any, tmp_path: Path) -> None:
    shutil.copytree(built_survey.folder, tmp_path / "alone")
    with pytest.raises(UserError, match="stands alone"):
        list(feature_lines(tmp_path / "alone", "topk-2", None))


def test_a_study_has_no_settings(built_study: Any) -> None:
    with pytest.raises(UserError, match="leave it out, this is a study"):
        list(feature_lines(built_study.folder, "k2", None, "model"))
