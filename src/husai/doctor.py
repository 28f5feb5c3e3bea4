"""Is this machine fit to run husai? Versions, processor, disk, and what an optional part would need."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from husai.errors import HusaiError
from husai.store.files import write_text
from husai.store.provenance import package_version, processor

FREE_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Check:
    """One thing looked at, what was found, and what to do if it is not right."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    optional: bool = False


def examine(results: Path) -> list[Check]:
    """Every check."""
    return [_python(), *_packages(), _processor(), *_disk(results), _browser()]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", (3, 11) <= sys.version_info[:2] <= (3, 12), version, "use Python 3.11 or 3.12")


def _packages() -> list[Check]:
    names = ("torch", "numpy", "scipy", "safetensors", "pydantic", "matplotlib")
    found = {name: package_version(name) for name in names}
    advice = "install the package again: pip install husai"
    return [Check(name, version != "not installed", version, advice) for name, version in found.items()]


def _processor() -> Check:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    found = f"{processor()}, {os.cpu_count()} cores, {capability}"
    cuda = "with CUDA" if torch.cuda.is_available() else "no GPU (none is needed)"
    return Check("processor", True, f"{found}, {cuda}")


def _disk(results: Path) -> list[Check]:
    """The folder, or where it would be made: nothing is left behind."""
    place = next(p for p in (results, *results.absolute().parents) if p.exists())
    try:
        write_text(place / ".doctor", "writable\n").unlink()
    except HusaiError as error:
        return [Check("results folder", False, str(error), "choose another with --results")]
    free = shutil.disk_usage(place).free
    enough = free >= FREE_BYTES
    return [
        Check("results folder", True, f"{results} is writable"),
        Check("free disk", enough, f"{free / 1e9:.1f} GB", "the quickstart needs about 1 GB; free some"),
    ]


def _browser() -> Check:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((p for p in map(shutil.which, names) if p), None)
    return Check("chromium", path is not None, path or "not found", "needed by browser tests only", optional=True)
