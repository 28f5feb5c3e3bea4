"""Ctrl-C reaches the whole group of processes: they save, say one line, exit 130, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest


def started(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "husai", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)


def wait_for(ready, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def importing(parent: int) -> bool:
    """Whether a worker process is there and has just begun to import."""
    workers = [p for p in psutil.Process(parent).children() if "spawn_main" in " ".join(p.cmdline())]
    return any(time.time() - p.create_time() > 0.1 for p in workers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_the_workers_are_still_starting(tmp_path, own_study, husai, number):
    results, ledger = tmp_path / "results", tmp_path / "results" / "experiments" / "own" / "ledger.jsonl"
    with started("run", own_study, "--results", results, "--json") as process:
        wait_for(lambda: importing(process.pid), process)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err == "husai: stopped; everything finished is kept: run the same command again to go on\n"
    events = [json.loads(line)["event"] for line in ledger.read_text().splitlines()]
    assert events[-1] == "interrupted"
    assert not list(results.glob("experiments/own/*/"))
    if number == signal.SIGTERM:
        said = husai("run", own_study, "--results", results)
        assert said.code == 0
        assert said.out.splitlines()[-1].endswith("report.html")


def test_while_it_trains_and_then_it_goes_on_to_the_same_numbers(tmp_path, rows, husai):
    fields = ("sae.d_sae=16", "sae.k=3", "training.steps=1500", "training.batch=64", "seeds=2")
    options = [word for field in fields for word in ("--set", field)]
    results = tmp_path / "results"

    def trains() -> bool:
        return bool(list(results.glob("nodes/*/COMPLETE")) and list(results.glob("nodes/.partial-*/")))

    with started("train", rows, *options, "--results", results) as process:
        wait_for(trains, process)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert err.splitlines()[-2:] == [
        "warning: stopping after saving; once more to stop at once",
        "husai: stopped; everything finished is kept: run the same command again to go on",
    ]
    (partial,) = results.glob("nodes/.partial-*/")
    assert (partial / "trunk.safetensors").exists()
    assert husai("train", rows, *options, "--results", results).code == 0
    assert husai("train", rows, *options, "--results", tmp_path / "undisturbed").code == 0
    stacks = [next(place.glob("nodes/stack-*/stack.safetensors")) for place in (results, tmp_path / "undisturbed")]
    assert stacks[0].read_bytes() == stacks[1].read_bytes()
    assert not list(results.glob("nodes/.partial-*/"))


def test_twice_means_at_once(tmp_path, rows):
    options = ("--set", "sae.d_sae=16", "--set", "sae.k=3", "--set", "training.steps=2000000")
    results = tmp_path / "results"
    with started("train", rows, *options, "--results", results) as process:
        wait_for(lambda: list(results.glob("nodes/.partial-*/")), process)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
