"""The command line, in this process, and what stands in a results folder before and after."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from husai import cli


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
