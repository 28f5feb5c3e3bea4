"""Many signals at random: each ends the program with one line, and what goes on ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from husai.store.audit import audit

GAPS = (None, None, 0.0, 0.001, 0.01, 0.1, 0.5)  # seconds to a second signal, if there is one


@dataclass
class Tormentor:
    """Starts a command again and again and signals it at a moment, in a way and to processes that a seed decides."""

    start: object
    words: tuple[object, ...]
    seconds: float
    signals: int
    seed: int = field(default_factory=lambda: random.SystemRandom().randrange(2**32))

    def __post_init__(self) -> None:
        self.rng, self.story = random.Random(self.seed), [f"seed {self.seed}"]
        self.workers: list[psutil.Process] = []

    def run(self, results: Path) -> None:
        """Until it ends by itself."""
        while not self._once(results):
            pass

    def _once(self, results: Path) -> bool:
        workers = self.rng.choice([1, 2])
        with self.start(*self.words, "--results", results, "--workers", workers) as process:
            if self.signals > 0:
                self._signal(process)
            _, err = process.communicate(timeout=400)
        assert "Traceback" not in err, (self.story, err)
        assert not psutil.wait_procs(self.workers, timeout=20)[1], self.story
        self.story.append(f"exit code {process.returncode}")
        if process.returncode == 0:
            return True
        assert process.returncode == 130, (self.story, err)
        lines = err.splitlines()
        assert [line for line in lines if line.startswith("husai: ")] == lines[-1:], (self.story, err)
        assert "run the same command again" in lines[-1], (self.story, err)
        return False

    def _signal(self, process: subprocess.Popen[str]) -> None:
        number, group = self.rng.choice([signal.SIGINT, signal.SIGTERM]), self.rng.choice([True, False])
        moment, gap = self.rng.uniform(0.1, self.seconds), self.rng.choice(GAPS)
        self.signals -= 1
        self.story.append(f"{number.name} after {moment:.2f} s, to {'all' if group else 'one'}, again after {gap}")
        time.sleep(moment)
        self.workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for wait in [0.0] if gap is None else [0.0, gap]:
            time.sleep(wait)
            if process.poll() is None:
                (os.killpg if group else os.kill)(process.pid, number)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_training(tmp_path, rows, start, numbers):
    fields = ("sae.d_sae=16", "sae.k=3", "training.steps=3000", "training.batch=64", "seeds=2")
    words = ("train", rows, *(word for field in fields for word in ("--set", field)))
    begun = time.monotonic()
    Tormentor(start, words, 1.0, 0).run(tmp_path / "undisturbed")
    tormentor = Tormentor(start, words, 1.1 * (time.monotonic() - begun), 60)
    number = 0
    while tormentor.signals > 0:
        results = tmp_path / f"results-{number}"
        tormentor.run(results)
        assert numbers(results) == numbers(tmp_path / "undisturbed"), tormentor.story
        number += 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_smoke_study(tmp_path, smoke, start, numbers):
    tormentor = Tormentor(start, ("run", "smoke", "--json"), 0.5 * smoke.seconds, 12)
    tormentor.run(tmp_path / "results")
    assert numbers(tmp_path / "results") == numbers(smoke.results), tormentor.story
    checked = audit(tmp_path / "results")
    assert checked.passed, (tormentor.story, checked.findings)
