"""One thread per test process: numbers of threads change bits, and several test processes share the cores."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy or torch is imported

from collections.abc import Iterator  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402

from husai import events  # noqa: E402


@pytest.fixture(autouse=True)
def nobody_asked_to_stop() -> Iterator[None]:
    """A stop that one test asked for must not reach the next."""
    events.clear_stop()
    yield
    events.clear_stop()


def _module(path: Path) -> ModuleType:
    """A helper of the tests that is no test itself, under its own name."""
    spec = importlib.util.spec_from_file_location(f"husai_tests_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def studies() -> ModuleType:
    """`tests/report/built.py`: complete studies on disk without any training."""
    return _module(Path(__file__).parent / "report" / "built.py")


@pytest.fixture(scope="session")
def built_study(studies: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One complete study, shared by all tests: look, do not touch (`studies.copy` gives one's own)."""
    return studies.build(tmp_path_factory.mktemp("built") / "results")


@pytest.fixture(scope="session")
def surveys() -> ModuleType:
    """`tests/report/built_survey.py`: complete surveys on disk without any training."""
    return _module(Path(__file__).parent / "report" / "built_survey.py")


@pytest.fixture(scope="session")
def built_survey(surveys: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One complete survey, shared by all tests: look, do not touch."""
    return surveys.build(tmp_path_factory.mktemp("built") / "results")


@pytest.fixture(scope="session")
def programmes() -> ModuleType:
    """`tests/report/built_programme.py`: a programme, a survey with claims and a calibration without any training."""
    return _module(Path(__file__).parent / "report" / "built_programme.py")


@pytest.fixture(scope="session")
def built_programme(programmes: ModuleType, surveys: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One complete programme with its surveys, shared by all tests: look, do not touch."""
    return programmes.build(tmp_path_factory.mktemp("built") / "results", surveys)


@pytest.fixture(scope="session")
def existing_saes() -> ModuleType:
    """`tests/existing_saes.py`: SAEs that nobody trained."""
    return _module(Path(__file__).parent / "existing_saes.py")


@pytest.fixture(scope="session")
def own_study() -> Path:
    """A user's own study file."""
    return Path(__file__).parent / "own_study.py"


@dataclass(frozen=True)
class Smoke:
    """One finished run of the smoke study: its results folder, the study's run folder, and what the command said."""

    results: Path
    run: Path
    out: str
    err: str
    seconds: float


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    """`husai run smoke`, once for all tests and all test processes: look, do not touch."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    said = shared / "smoke.json"
    with FileLock(shared / "smoke.lock"):
        if not said.exists():
            said.write_text(json.dumps(_run_smoke(shared / "smoke")))
    found = json.loads(said.read_text())
    return Smoke(shared / "smoke", Path(json.loads(found["out"])["run"]), **found)


def _run_smoke(results: Path) -> dict[str, Any]:
    begun, command = time.monotonic(), [sys.executable, "-m", "husai", "run", "smoke", "--results", str(results)]
    run = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=500, check=False)
    assert run.returncode == 0, run.stderr
    return {"out": run.stdout, "err": run.stderr, "seconds": time.monotonic() - begun}
