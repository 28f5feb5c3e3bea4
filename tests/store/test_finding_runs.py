"""Runs are found by path, by the start of an id, or by a study's name; a wrong name gets the nearest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from husai.errors import UserError
from husai.store.features import feature_lines
from husai.store.index import Results, find_run
from husai.store.layout import building
from husai.store.provenance import now, provenance
from husai.store.record import RunRecord

NODE, SEED, OLD, NEW = "aaaa000000000000", "aaab000000000000", "bbbb000000000000", "cccc000000000000"
TABLE = 'arm,seed,feature\nk2,0,"a, b"\nk2,1,1\nk8,0,2\n'


def put(final: Path, run: str, kind: str, **files: str) -> Path:
    with building(final, run) as draft:
        for name, text in files.items():
            (draft.path / name.replace("_", ".")).write_text(text)
        when = provenance(now(), 1.0)
        draft.complete(RunRecord(id=run, kind=kind, name="n", status="ran", config={}, provenance=when))
    return final


@pytest.fixture
def root(tmp_path: Path) -> Path:
    results = Results(tmp_path / "results")
    put(results.node_folder("stack", NODE), NODE, "stack")
    study = results.study_folder("smoke")
    put(study / "smoke_seed0", SEED, "seed")
    old, new = put(study / "smoke_1", OLD, "study"), put(study / "smoke_0", NEW, "study", features_csv=TABLE)
    os.utime(old / "record.json", (1e9, 1e9))
    os.utime(new / "record.json", (2e9, 2e9))
    return results.root


def test_a_name_means_the_newest_run_of_that_study(root):
    assert find_run("smoke", root) == root / "experiments" / "smoke" / "smoke_0"


@pytest.mark.parametrize("text", ["bbbb", OLD])
def test_the_start_of_an_id_is_enough(root, text):
    assert find_run(text, root).name == "smoke_1"


def test_a_path_is_itself(root):
    assert find_run(str(root / "nodes" / f"stack-{NODE}"), Path("elsewhere")) == root / "nodes" / f"stack-{NODE}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("aaa", "no run 'aaa'"),
        ("smok", "did you mean 'smoke'"),
        ("zzzz", "valid: smoke"),
        ("", "is not a run folder"),
        (".", "is not a run folder"),
    ],
)
def test_what_means_nothing_is_refused(root, text, words):
    with pytest.raises(UserError, match=words):
        find_run(text, root)


def test_what_means_several_is_refused(root):
    put(root / "nodes" / "x", "bbbbffff00000000", "x")
    with pytest.raises(UserError, match=f"'bbbb' begins 2 ids: write more of it \\({OLD}, bbbbffff00000000"):
        find_run("bbbb", root)


def test_an_empty_place_holds_nothing(tmp_path):
    with pytest.raises(UserError, match=r"no run 'smoke' below .*: there is nothing to choose from"):
        find_run("smoke", tmp_path / "none")
    assert Results(tmp_path).folders() == []
    assert Results(tmp_path).node("stack", NODE) is None
    assert Results(tmp_path).experiment("smoke", OLD) is None


def test_what_is_not_complete_is_not_found(root):
    results = Results(root)
    (root / "experiments" / "smoke" / "smoke_0" / "COMPLETE").write_text("wrong")
    assert find_run("smoke", root).name == "smoke_1"
    assert results.experiment("smoke", NEW) is None
    assert sorted(results.by_id()) == [NODE, SEED, OLD]


def test_a_folder_under_another_name_is_found_by_its_id(root):
    folder = root / "experiments" / "smoke"
    (folder / "smoke_1").rename(folder / "anything")
    assert Results(root).experiment("smoke", OLD) == folder / "anything"


def test_the_table_of_features_is_cut_by_arm_and_seed(root):
    run = find_run("smoke", root)
    assert list(feature_lines(run, None, None)) == TABLE.splitlines()
    assert list(feature_lines(run, "k2", 1)) == ["arm,seed,feature", "k2,1,1"]
    with pytest.raises(UserError, match=r"unknown arm 'k4': did you mean 'k[28]'"):
        list(feature_lines(run, "k4", None))
    with pytest.raises(UserError, match="unknown seed '7'"):
        list(feature_lines(run, "k2", 7))
    with pytest.raises(UserError, match=r"holds no features\.csv \(it is a run of kind 'stack'\)"):
        list(feature_lines(root / "nodes" / f"stack-{NODE}", None, None))
