"""A study that is killed at any moment and started again ends with the very numbers of one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from husai.store.audit import audit
from husai.store.index import Results
from husai.store.layout import read_record

WAYS = ("the whole group", "the parent only")


@dataclass
class Torment:
    """Starts `husai run smoke` in a folder again and again, and kills it at moments that a seed decides."""

    seed: int
    seconds: float
    kills: int
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.story.append(f"seed {self.seed}")

    def run(self, results: Path) -> None:
        """Until it ends by itself."""
        while not self._once(results):
            pass

    def _once(self, results: Path) -> bool:
        command = [sys.executable, "-m", "husai", "run", "smoke", "--results", str(results), "--json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, start_new_session=True, **pipes) as process:
            moment = self.rng.uniform(0.2, 0.6 * self.seconds) if self.kills else None
            try:
                _, err = process.communicate(timeout=moment or 400)
            except subprocess.TimeoutExpired:
                self._kill(process)
                return False
        assert process.returncode == 0, f"{self.story}: {err}"
        self.story.append("ended by itself")
        return True

    def _kill(self, process: subprocess.Popen[str]) -> None:
        way = WAYS[self.kills % 2]
        self.kills -= 1
        self.story.append(f"killed {way}")
        workers = psutil.Process(process.pid).children(recursive=True)
        if way == WAYS[0]:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()
        _, left = psutil.wait_procs(workers, timeout=20)
        assert not [p for p in left if p.status() != psutil.STATUS_ZOMBIE], self.story


def numbers(results: Path) -> dict[str, bytes]:
    """metrics.json of everything complete, by id."""
    folders = Results(results).by_id()
    return {
        f"{read_record(folder).kind} {run}": (folder / "metrics.json").read_bytes() for run, folder in folders.items()
    }


def files_of_nodes(results: Path) -> dict[str, object]:
    """Files of every node with their hashes."""
    return {folder.name: read_record(folder).artefacts for folder in (results / "nodes").iterdir() if folder.is_dir()}


def assert_the_same(results: Path, undisturbed: Path, story: list[str]) -> None:
    found, expected = numbers(results), numbers(undisturbed)
    assert found.keys() == expected.keys(), story
    assert [name for name in found if found[name] != expected[name]] == [], story
    assert files_of_nodes(results) == files_of_nodes(undisturbed), story
    assert sum(name.startswith("seed ") for name in found) == 70
    assert not list(results.rglob(".partial-*/")), story
    assert not list(results.rglob(".*.tmp")), story
    assert not list(results.rglob("*.damaged-*")), story
    checked = audit(results)
    assert checked.passed, (story, checked.findings)


def torment(smoke, folder: Path, kills: int, seed: int) -> None:
    tormentor = Torment(seed, smoke.seconds, kills)
    begun = time.monotonic()
    number = 0
    while tormentor.kills or not number:
        results = folder / f"results-{number}"
        tormentor.run(results)
        assert_the_same(results, smoke.results, tormentor.story)
        number += 1
        assert time.monotonic() - begun < 3000, tormentor.story


def test_killed_three_times_it_ends_with_the_same_bytes(smoke, tmp_path):
    tormentor = Torment(random.SystemRandom().randrange(2**32), smoke.seconds, kills=3)
    tormentor.run(tmp_path / "results")
    assert_the_same(tmp_path / "results", smoke.results, tormentor.story)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_twenty_times_it_ends_with_the_same_bytes(smoke, tmp_path):
    torment(smoke, tmp_path, kills=20, seed=random.SystemRandom().randrange(2**32))
