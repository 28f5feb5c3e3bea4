"""Where, when and with what a number was made."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from husai.store.record import Provenance

PACKAGES = ("torch", "numpy", "scipy", "safetensors", "pydantic", "matplotlib", "jinja2")


def now() -> str:
    """UTC time, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=32)
def package_version(name: str) -> str:
    """Installed version, or `not installed`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def commit() -> str:
    """Commit of the husai checkout that runs (`+changes` when it differs from it), or `installed package`."""
    try:
        head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "installed package"
    return head + ("+changes" if changes else "")


def _git(*words: str) -> str:
    """What git says, in a session of its own: a Ctrl-C for this program is none for git."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "--no-optional-locks", *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, start_new_session=True)
    return run.stdout.strip()


@lru_cache(maxsize=1)
def processor() -> str:
    """Name of the processor as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def provenance(
    started: str,
    seconds: float,
    *,
    device: str = "cpu",
    threads: int = 1,
    parts: Mapping[str, float] | None = None,
) -> Provenance:
    """Provenance of something that ran from `started` for `seconds` in this process; `parts` are seconds within."""
    return Provenance(
        husai=package_version("husai"),
        commit=commit(),
        python=platform.python_version(),
        packages={name: package_version(name) for name in PACKAGES},
        host=f"{socket.gethostname()} ({os.cpu_count()} cores)",
        processor=processor(),
        device=device,
        threads=threads,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        started=started,
        finished=now(),
        seconds=round(seconds, 3),
        parts={name: round(value, 3) for name, value in (parts or {}).items()},
    )
