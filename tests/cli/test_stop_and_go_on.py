"""Ctrl-C and SIGTERM, at any moment: the program saves, says how to go on, exits 130, and goes on to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

GO_ON = "everything finished is kept: run the same command again to go on\n"
SAVING = "warning: stopping after saving; once more to stop at once\n"
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
ENDED = """
import atexit, os, signal, sys
from husai import __main__, cli
def late():
    print("clean-up", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
cli.main = lambda last_words: sys.exit(7)
atexit.register(late)
__main__.main()
"""


def catches(process: subprocess.Popen[str], number: int) -> bool:
    """Whether the program has a handler for a signal, as Linux shows it."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = int(next(line for line in lines if line.startswith("SigCgt")).split()[1], 16)
    return bool(caught >> (number - 1) & 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the handler as Linux shows it")
@BOTH
def test_before_there_is_anything_to_stop(tmp_path, rows, start, wait_for, number):
    with start("train", rows, "--results", tmp_path / "results") as process:
        wait_for(lambda: catches(process, signal.SIGTERM), process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", f"husai: stopped; {GO_ON}")
    assert not (tmp_path / "results").exists()


def test_after_the_command_has_ended_its_exit_code_stands():
    run = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (7, "clean-up\n", "")


AGAIN = """
import contextlib, os, signal, sys
from husai import __main__, events
from husai.cli import entry, speaking
LOOKED_AT = {m.__file__ for m in (entry, speaking, events, __main__, contextlib, signal)}
lines, at = None, int(sys.argv[1])
def trace(frame, event, _):
    global lines
    if frame.f_code.co_filename not in LOOKED_AT:
        return None
    if event == "line" and lines is not None:
        lines += 1
        if lines == at:
            os.kill(os.getpid(), signal.SIGINT)
    return trace
def app(**_):
    global lines
    with speaking.shown(quiet=True):
        lines = 0
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            events.check_stop()
entry.app = app
sys.settrace(trace)
try:
    __main__.main()
finally:
    count, lines = lines, None
    print(count)
"""


def again_at(line: int) -> int:
    """SIGTERM, and SIGINT when so many lines of Python have run since; returns how many ran to the end."""
    run = subprocess.run(
        [sys.executable, "-c", AGAIN, str(line)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 130, (line, run.stderr)
    said = run.stderr.lstrip("\n")  # click ends the line that a Ctrl-C left behind
    assert said in (f"husai: stopped; {GO_ON}", f"husai: stopped at once; {GO_ON}"), (line, run.stderr)
    return int(run.stdout or 0)


def test_a_second_signal_while_the_last_line_is_said_does_not_say_it_again():
    lines = again_at(10**6)
    for before_the_end in (4, 8, 12, 16, 24):
        again_at(lines - before_the_end)


@pytest.mark.slow
def test_a_second_signal_at_every_line_of_python_after_the_first():
    for line in range(1, again_at(10**6) + 1):
        again_at(line)


def importing(parent: int) -> bool:
    """Whether a worker process is there and has just begun to import."""
    workers = [p for p in psutil.Process(parent).children() if "spawn_main" in " ".join(p.cmdline())]
    return any(time.time() - p.create_time() > 0.1 for p in workers)


@BOTH
def test_while_the_workers_are_still_starting(tmp_path, own_study, husai, start, wait_for, number):
    results, ledger = tmp_path / "results", tmp_path / "results" / "experiments" / "own" / "ledger.jsonl"
    with start("run", own_study, "--results", results, "--json") as process:
        wait_for(lambda: importing(process.pid), process)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", f"husai: stopped; {GO_ON}")
    events = [json.loads(line)["event"] for line in ledger.read_text().splitlines()]
    assert events[-1] == "interrupted"
    assert not list(results.glob("experiments/own/*/"))
    if number == signal.SIGTERM:
        said = husai("run", own_study, "--results", results)
        assert said.code == 0
        assert said.out.splitlines()[-1].endswith("report.html")


LONG = ("sae.d_sae=16", "sae.k=3", "training.steps=1500", "training.batch=64", "seeds=2")
OPTIONS = [word for field in LONG for word in ("--set", field)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same training, left alone."""
    import numpy as np
    from sklearn.datasets import load_digits

    base = tmp_path_factory.mktemp("undisturbed")
    np.save(base / "rows.npy", load_digits().data.astype(np.float32)[:300])
    command = [sys.executable, "-m", "husai", "train", base / "rows.npy", *OPTIONS, "--results", base / "results"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return base / "results"


def training(results: Path) -> bool:
    return bool(list(results.glob("nodes/*/COMPLETE")) and list(results.glob("nodes/.partial-*/")))


def test_while_it_trains(tmp_path, rows, husai, start, wait_for, numbers, undisturbed):
    """Ctrl-C in a terminal, which reaches all processes: the state is saved, and nothing of it is computed again."""
    results = tmp_path / "results"
    with start("train", rows, *OPTIONS, "--results", results) as process:
        wait_for(lambda: training(results), process)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert err.endswith(f"{SAVING}husai: stopped; {GO_ON}")
    (partial,) = results.glob("nodes/.partial-*/")
    assert (partial / "trunk.safetensors").exists()
    assert husai("train", rows, *OPTIONS, "--results", results).code == 0
    assert numbers(results) == numbers(undisturbed)


@pytest.mark.parametrize(("number", "whole_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_twice_means_at_once(tmp_path, rows, husai, start, wait_for, numbers, undisturbed, number, whole_group):
    results = tmp_path / "results"
    with start("train", rows, *OPTIONS, "--results", results, "--workers", 1) as process:
        send = (lambda: os.killpg(process.pid, number)) if whole_group else (lambda: process.send_signal(number))
        wait_for(lambda: training(results), process)
        children = psutil.Process(process.pid).children(recursive=True)
        send()
        process.stderr.readline()  # the warning: the first has been heard
        send()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err in (f"husai: stopped at once; {GO_ON}", f"husai: stopped; {GO_ON}"), "either was first"
    assert not psutil.wait_procs(children, timeout=10)[1]
    if whole_group:
        assert husai("train", rows, *OPTIONS, "--results", results).code == 0
        assert numbers(results) == numbers(undisturbed)


def test_while_it_measures(tmp_path, rows, husai, start, wait_for, numbers, undisturbed):
    """Only the program itself is told, with one worker."""
    results, ledger = tmp_path / "results", tmp_path / "results" / "experiments" / "train" / "ledger.jsonl"
    with start("train", rows, *OPTIONS, "--results", results, "--workers", 1) as process:
        wait_for(lambda: ledger.exists() and ledger.read_text().count('"started"') == 3, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.endswith(f"{SAVING}husai: stopped; {GO_ON}")
    assert husai("train", rows, *OPTIONS, "--results", results).code == 0
    assert numbers(results) == numbers(undisturbed)
