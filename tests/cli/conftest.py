"""The command line, in this process, and what stands in a results folder before and after."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from husai import cli
from husai.store.index import Results
from husai.store.layout import read_record


@dataclass(frozen=True)
class Said:
    """Exit code and what came out."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that ends a refused command; everything else is progress."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("husai: ")]
        assert len(lines) == 1
        assert self.err.splitlines()[-1] == lines[0]
        return lines[0].removeprefix("husai: ")


Husai = Callable[..., Said]


@pytest.fixture
def husai(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Husai:
    """Run a command as the program does, `main` and all."""

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["husai", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        code = left.value.code
        return Said(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Start:
    """Start the program in a group of its own; use it in a `with` block."""

    def run(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "husai", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, start_new_session=True, **pipes)

    return run


def _wait_for(ready: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object], subprocess.Popen[str]], None]:
    """Wait until something is so, while the program runs."""
    return _wait_for


@pytest.fixture
def numbers() -> Callable[[Path], dict[str, object]]:
    """All that two runs of the same thing have in common: metrics.json of everything, files of the nodes by hash."""

    def look(results: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for folder in Results(results).folders():
            record = read_record(folder)
            found[f"{record.kind} {record.id}"] = (folder / "metrics.json").read_bytes()
            if folder.parent.name == "nodes":
                found[folder.name] = record.artefacts
        assert not list(results.rglob(".partial-*/"))
        assert not list(results.rglob(".*.tmp"))
        return found

    return look


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not folded."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def contents() -> Callable[[Path], dict[str, str]]:
    """Hash of every file of every whole run below a folder: what no later failure may touch."""

    def look(root: Path) -> dict[str, str]:
        whole = [marker.parent for marker in root.rglob("COMPLETE")]
        files = [p for folder in whole for p in folder.rglob("*") if p.is_file()]
        return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}

    return look


SHORT = ("--set", "sae.d_sae=16", "--set", "sae.k=3", "--set", "training.steps=20", "--set", "seeds=2")


@pytest.fixture
def short() -> tuple[str, ...]:
    """Options of a training that takes a second."""
    return SHORT


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Real rows as a .npy file: 300 images of digits."""
    np.save(tmp_path / "rows.npy", load_digits().data.astype(np.float32)[:300])
    return tmp_path / "rows.npy"


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("trained")
    np.save(base / "rows.npy", load_digits().data.astype(np.float32)[:300])
    command = [sys.executable, "-m", "husai", "train", base / "rows.npy", *SHORT, "--results", base / "results"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return base / "results"


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """One's own copy of a results folder in which `rows` were trained on with `short`."""
    return Path(shutil.copytree(_trained, tmp_path / "results"))
