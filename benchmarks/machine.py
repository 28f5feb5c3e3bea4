"""The machine: how many threads may be used, what it is, and when its accelerator has finished."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def limit_threads(threads: int | None) -> None:
    """Every library that is imported after this uses at most `threads`; None leaves their own choice."""
    if threads is None:
        return
    for pool in POOLS:
        os.environ[pool] = str(threads)
    import torch  # only now, so that what it starts sees the limit

    torch.set_num_threads(threads)


def require(device: str) -> None:
    """End the program with one line when the device is not there."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here: leave --device out, or run on a machine that has one")


def describe(device: str) -> dict[str, Any]:
    """What a time means nothing without."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({len(names)} logical cores)" if names else platform.processor()


def finish(device: str) -> None:
    """Wait for work that was only queued."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
