"""Run folders are complete or absent, whatever happened between the first file and the marker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from husai.errors import UserError
from husai.store import layout
from husai.store.files import sha256, write_text
from husai.store.layout import (
    building,
    free_name,
    is_complete,
    list_artefacts,
    locked,
    metrics,
    read_record,
    recover,
    run_name,
)
from husai.store.provenance import now, provenance
from husai.store.record import Measurement, RunRecord

ID = "0123456789abcdef"
WHOLE = ["COMPLETE", "a.txt", "config.yaml", "metrics.json", "record.json"]
BUILDER = """
import os, signal, sys
from pathlib import Path
from husai.store import layout
from husai.store.files import write_text
from tests_record import record
final, moment = Path(sys.argv[1]), sys.argv[2]

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "marker":
    layout.mark = die
elif moment == "rename":
    Path.replace = die
elif moment == "record":
    layout.write_json = die
with layout.building(final, record().id) as draft:
    write_text(draft.path / "a.txt", "content")
    draft.complete(record())
"""


def record(**changes) -> RunRecord:
    fields = {
        "id": ID,
        "kind": "measure",
        "name": "m",
        "status": "ran",
        "config": {"k": 4},
        "provenance": provenance(now(), 1.0),
        "measurements": (Measurement(name="l0", value=0.0, unit="latents"),),
    }
    return RunRecord(**(fields | changes))


def build(final: Path, text: str = "content") -> RunRecord:
    with building(final, ID) as draft:
        write_text(draft.path / "a.txt", text)
        return draft.complete(record())


def killed_at(final: Path, moment: str) -> None:
    """A real process, killed at a moment of completing the folder."""
    helper = final.parent / "helper"
    helper.mkdir(parents=True, exist_ok=True)
    (helper / "tests_record.py").write_text(
        "from husai.store.record import RunRecord\n"
        f"def record(): return RunRecord.model_validate_json({record().model_dump_json()!r})\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", BUILDER, str(final), moment],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(helper), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr


def test_a_complete_folder_holds_everything_and_its_marker_is_the_hash_of_the_record(tmp_path):
    final = tmp_path / "measure-x"
    made = build(final)
    assert sorted(p.name for p in final.iterdir()) == [
        "COMPLETE",
        "a.txt",
        "config.yaml",
        "metrics.json",
        "record.json",
    ]
    assert (final / "COMPLETE").read_text() == sha256(final / "record.json") + "\n"
    assert is_complete(final)
    assert read_record(final) == made
    assert [a.path for a in made.artefacts] == ["a.txt", "config.yaml", "metrics.json"]
    assert all(
        sha256(final / a.path) == a.sha256 and (final / a.path).stat().st_size == a.bytes for a in made.artefacts
    )
    assert not (tmp_path / f".partial-{ID}").exists()


def test_the_order_is_files_record_rename_marker(tmp_path, monkeypatch):
    seen, final = [], tmp_path / "measure-x"
    write, rename, mark = layout.write_json, Path.replace, layout.mark

    def noted(name, code):
        def run(*args):
            names = {p.name for p in final.iterdir()} if final.exists() else set()
            seen.append((name, Path(args[0]).name, sorted(names)))
            return code(*args)

        return run

    monkeypatch.setattr(layout, "write_json", noted("write", write))
    monkeypatch.setattr(layout, "mark", noted("mark", mark))
    with building(final, ID) as draft:
        write_text(draft.path / "a.txt", "x")
        monkeypatch.setattr(Path, "replace", noted("rename", rename))
        draft.complete(record())
    order = [(what, name) for what, name, _ in seen if not name.endswith(".tmp")]
    assert order == [
        ("write", "metrics.json"),
        ("write", "record.json"),
        ("rename", f".partial-{ID}"),
        ("mark", "measure-x"),
    ]
    assert [names for what, _, names in seen if what == "mark"] == [
        ["a.txt", "config.yaml", "metrics.json", "record.json"]
    ]


@pytest.mark.parametrize("moment", ["record", "rename", "marker"])
def test_a_kill_at_any_step_of_completing_is_mended(tmp_path, moment):
    final = tmp_path / "nodes" / "measure-x"
    killed_at(final, moment)
    assert not is_complete(final)
    if moment == "marker":
        assert recover(final)
    else:
        assert not final.exists()
        assert not recover(final)
        build(final)
    assert is_complete(final)
    assert sorted(p.name for p in final.iterdir()) == [
        "COMPLETE",
        "a.txt",
        "config.yaml",
        "metrics.json",
        "record.json",
    ]
    assert not list(final.parent.glob(".partial-*/"))


def test_half_a_marker_left_by_a_kill_does_not_stay(tmp_path):
    final = tmp_path / "measure-x"
    build(final)
    (final / "COMPLETE").unlink()
    (final / ".COMPLETE.1.tmp").write_text("ab")
    assert recover(final)
    assert not list(final.glob(".*"))


def test_what_is_not_whole_is_not_recovered(tmp_path):
    final = tmp_path / "measure-x"
    build(final)
    (final / "COMPLETE").unlink()
    (final / "a.txt").write_text("other")
    assert not recover(final)
    (final / "a.txt").unlink()
    assert not recover(final)
    (final / "record.json").write_text('{"id": ')
    assert not recover(final)
    assert not (final / "COMPLETE").exists()


def test_a_changed_record_is_not_complete_any_more(tmp_path):
    final = tmp_path / "measure-x"
    build(final)
    data = json.loads((final / "record.json").read_text())
    data["measurements"][0]["value"] = 1.0
    (final / "record.json").write_text(json.dumps(data))
    assert not is_complete(final)
    assert not recover(final)
    (final / "COMPLETE").write_bytes(b"\xff\xfe")
    assert not is_complete(final)


def test_nobody_recovers_what_another_is_just_completing(tmp_path):
    final = tmp_path / "measure-x"
    build(final)
    (final / "COMPLETE").unlink()
    with locked(tmp_path / f".partial-{ID}", "it"):
        assert not recover(final)
    assert recover(final)


def test_a_damaged_folder_is_set_aside_and_never_deleted(tmp_path):
    final = tmp_path / "measure-x"
    for n in range(3):
        build(final, f"content {n}")
        (final / "COMPLETE").write_text("wrong")
    build(final, "last")
    kept = sorted(p for p in tmp_path.iterdir() if "damaged" in p.name)
    assert [(p / "a.txt").read_text() for p in kept] == ["content 0", "content 1", "content 2"]
    assert all(".damaged-" in p.name for p in kept)
    assert (final / "a.txt").read_text() == "last"


def test_a_users_file_in_the_place_of_a_run_is_set_aside(tmp_path):
    final = tmp_path / "measure-x"
    final.write_text("mine")
    build(final)
    assert (tmp_path / "measure-x.damaged-1").read_text() == "mine"


def test_a_complete_folder_is_never_built_over(tmp_path):
    final = tmp_path / "measure-x"
    build(final, "first")
    with pytest.raises(UserError, match="finished meanwhile"):
        build(final, "second")
    assert (final / "a.txt").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["measure-x"]


def test_a_partial_folder_starts_over_unless_it_is_resumed(tmp_path):
    final = tmp_path / "measure-x"
    for resume, expected in ((False, []), (True, ["half.txt"]), (True, ["half.txt"]), (False, [])):
        with building(final, ID, resume=resume) as draft:
            assert sorted(p.name for p in draft.path.iterdir()) == expected
            write_text(draft.path / "half.txt", "half")
        assert not final.exists()


def test_scratch_and_temporary_files_do_not_stay(tmp_path):
    final = tmp_path / "measure-x"
    with building(final, ID) as draft:
        for name in ("a.txt", "checkpoint", ".a.txt.77.tmp"):
            (draft.path / name).write_text("x")
        draft.scratch.add("checkpoint")
        made = draft.complete(record())
    assert [a.path for a in made.artefacts] == ["a.txt", "config.yaml", "metrics.json"]
    assert list_artefacts(final) == made.artefacts


def test_metrics_hold_nothing_that_changes_between_two_runs():
    one = record(provenance=provenance("2020-01-01T00:00:00+00:00", 5.0))
    assert metrics(one) == metrics(record(provenance=provenance(now(), 1.0)))
    assert metrics(one)["measurements"] == {"l0": one.measurements[0].plain()}


def test_no_record_no_run(tmp_path):
    with pytest.raises(UserError, match=r"is not a run folder: it holds no record\.json"):
        read_record(tmp_path)
    (tmp_path / "record.json").write_text('{"schema_version": "husai.record/2"}')
    with pytest.raises(UserError, match=r"record\.json: schema_version"):
        read_record(tmp_path)


def test_run_names_follow_the_rule():
    assert run_name("smoke", "target", "topk", 48, 2, 3, "20260102") == "smoke_target_topk_dsae48_k2_seed3_20260102"
    assert run_name("a/b", "c d", "../e", 1, "na", 0, "20260102") == "a-b_c-d_..-e_dsae1_kna_seed0_20260102"


def test_free_names_count_up(tmp_path):
    names = []
    for _ in range(3):
        path = free_name(tmp_path / "x")
        path.mkdir()
        names.append(path.name)
    assert names == ["x", "x-2", "x-3"]
