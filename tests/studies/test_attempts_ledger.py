"""Every attempt is in the ledger, failures with their trace; a line that a kill cut off spoils no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from husai.errors import Interrupted, Refused, UserError
from husai.store.provenance import now
from husai.studies.ledger import Ledger

WRITER = """
import sys
from pathlib import Path
from husai.studies.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
for n in range(10**6):
    ledger.write("started", f"{n:016x}", "t" * 3000)
    if n == 0:
        print("begun", flush=True)
"""


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "experiments" / "s")


def test_a_line_says_when_what_and_with_which_command(ledger, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/husai", "run", "a b"])
    ledger.write("started", "n1", "title", more=1)
    (line,) = ledger.events()
    assert line["at"] <= now()
    assert line | {"at": ""} == {
        "at": "",
        "event": "started",
        "node": "n1",
        "title": "title",
        "tag": "",
        "command": "husai run 'a b'",
        "more": 1,
    }


@pytest.mark.parametrize(
    ("error", "event", "tag"),
    [
        (RuntimeError("a worker process died"), "failed", "infrastructure fault"),
        (OSError("disk"), "failed", "infrastructure fault"),
        (UserError("k too large"), "failed", "refused input"),
        (Refused("the model leaks"), "refused", "refused input"),
        (Interrupted("stopped"), "interrupted", "stopped by the user"),
        (KeyboardInterrupt(), "interrupted", "stopped by the user"),
    ],
)
def test_a_failure_keeps_config_commit_error_and_trace(ledger, error, event, tag):
    ledger.failure("n1", "title", {"k": 4}, error, "Traceback: somewhere else")
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        ledger.failure("n2", "title", {"k": 5}, caught)
    given, own = ledger.events()
    assert (given["event"], given["tag"]) == (own["event"], own["tag"]) == (event, tag)
    assert given["trace"] == "Traceback: somewhere else"
    assert "test_attempts_ledger.py" in own["trace"] and type(error).__name__ in own["trace"]
    assert given["config"] == {"k": 4}
    assert given["error"] == str(error)
    assert given["commit"] == own["commit"] != ""


@pytest.mark.parametrize("cut", [1, 20, -2, -1])
def test_a_line_cut_off_by_a_kill_is_left_out_and_the_next_is_whole(ledger, cut):
    ledger.write("started", "n1", "first")
    ledger.write("started", "n2", "zweite: ä")
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(lines[0] + lines[1][:cut])
    ledger.write("started", "n3", "third")
    ledger.write("finished", "n3", "third")
    assert [e["node"] for e in ledger.events()] == (["n1", "n2"] if cut == -1 else ["n1"]) + ["n3", "n3"]


def test_a_cut_within_a_character_and_strange_line_ends_are_borne(ledger):
    ledger.write("failed", "n1", "line\u2028separator\x85and \x1c others")
    with ledger.path.open("ab") as handle:
        handle.write('{"title": "ä'.encode()[:-1])
    assert [e["node"] for e in ledger.events()] == ["n1"]
    ledger.write("started", "n2", "t")
    assert [e["node"] for e in ledger.events()] == ["n1", "n2"]


def test_a_writer_that_is_killed_leaves_whole_lines(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
    ledger = Ledger(tmp_path)
    before = [e["node"] for e in ledger.events()]
    assert before == [f"{n:016x}" for n in range(len(before))]
    ledger.write("started", "after", "t")
    assert [e["node"] for e in ledger.events()] == [*before, "after"]


def test_the_date_of_the_first_start_stays(ledger):
    today = now()[:10].replace("-", "")
    assert ledger.first_start("n1") == today
    for at, event, node in (
        ("2025-01-03T00:00:01+00:00", "started", "n2"),
        ("2025-02-03T00:00:01+00:00", "finished", "n1"),
        ("2025-03-04T23:59:59+00:00", "started", "n1"),
        ("2025-03-05T00:00:01+00:00", "started", "n1"),
    ):
        with ledger.path.open("a") as handle:
            handle.write(json.dumps({"at": at, "event": event, "node": node}) + "\n")
    assert ledger.first_start("n1") == "20250304"
    assert ledger.first_start("n3") == today


def test_a_disk_that_says_no_is_one_line(tmp_path):
    (tmp_path / "experiments").write_text("a file")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        Ledger(tmp_path / "experiments" / "s")
    ledger = Ledger(tmp_path / "x")
    ledger.path.mkdir()
    with pytest.raises(UserError, match="cannot write"):
        ledger.write("started", "n", "t")
