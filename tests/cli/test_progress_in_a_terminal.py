"""Progress: bars on a terminal, few lines in a log file, warnings once; all of it on stderr."""

from __future__ import annotations

import itertools
import os
import pty
import subprocess
import sys

import pytest

from husai import console
from husai.console import Terminal
from husai.events import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when they are told to."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_long_job_says_a_line_per_quarter(clock, capsys):
    with Terminal() as terminal:
        for done in range(0, 101, 5):
            terminal.progress(Progress("j", "training", done, 100, f"mse {done}"))
            clock[0] += 1.0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [f"training: {n}/100  mse {n}" for n in (25, 50, 75, 100)]


def test_a_short_job_says_nothing(clock, capsys):
    with Terminal() as terminal:
        for done in range(11):
            terminal.progress(Progress("j", "measuring", done, 10))
            clock[0] += 0.1
    assert capsys.readouterr().err == ""


def test_a_short_job_says_nothing_although_one_of_its_name_ended_long_ago(clock, capsys):
    with Terminal() as terminal:
        for _ in range(2):
            for done in range(3):
                terminal.progress(Progress("j", "comparing", done, 2))
            clock[0] += 60.0
    assert capsys.readouterr().err == ""


def test_two_jobs_do_not_hide_each_other(clock, capsys):
    with Terminal() as terminal:
        for done, title in itertools.product((0, 4), ("one", "two")):
            terminal.progress(Progress("j", title, done, 4))
            clock[0] += 3.0
    assert capsys.readouterr().err.splitlines() == ["one: 4/4", "two: 4/4"]


def test_a_warning_is_said_once_and_marked(capsys):
    with Terminal() as terminal:
        for _ in range(2):
            terminal.log("warning", "few [rows] here")
            terminal.log("info", "not [bold]markup")
    assert capsys.readouterr().err.splitlines() == ["warning: few [rows] here", *["not [bold]markup"] * 2]


def test_bars_on_a_real_terminal_are_gone_at_the_end():
    code = """
from husai.console import Terminal
from husai.events import Progress
with Terminal() as terminal:
    assert terminal.live
    for done in range(5):
        terminal.progress(Progress("a", "first job", done, 4, "note"))
        terminal.progress(Progress("b", "second job", done, 4))
    terminal.log("warning", "careful")
    assert not terminal.tasks
print("answer")
"""
    mine, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=env, check=True)
    os.close(theirs)
    shown = os.read(mine, 100_000).decode()
    os.close(mine)
    assert run.stdout == b"answer\n"
    assert "warning: careful" in shown
