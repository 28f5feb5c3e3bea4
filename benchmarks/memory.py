"""Peak memory of one tool at one size, in a process of its own: `python -m benchmarks.memory` prints it as JSON.

Counted is what the steps need beyond the process after its imports, its data and two steps of a tiny SAE (which load
libraries and compile loops): parameters, optimiser state and all that a step holds at once. On a GPU it is what the
allocator handed out. On Linux the peak is the kernel's high-water mark of resident memory, set back before the tool
starts; `ru_maxrss` would not do alone, since a process inherits it from the one that started it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.machine import finish, limit_threads
from benchmarks.sizes import Size, parse

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
TINY = Size(32, 64, 4, 64, 1)
STEPS = 3
ROOT = Path(__file__).resolve().parent.parent


def peak_mb(tool: str, setting: str, size: Size, device: str, threads: int | None) -> tuple[float | None, str]:
    """Megabytes (10^6 bytes), and why there are none."""
    command = [sys.executable, "-m", "benchmarks.memory", "--tool", tool, "--setting", setting]
    command += ["--size", str(size), "--device", device, *(["--threads", str(threads)] if threads else [])]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode != 0:
        said = run.stderr.strip().splitlines() or ["no message"]
        return None, f"{tool} at {size}: the process that measures memory ended with {run.returncode}: {said[-1]}"
    return json.loads(run.stdout.splitlines()[-1])["peak_mb"], ""


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="peak memory of one tool")
    for name in ("tool", "setting", "size"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(arguments)
    limit_threads(given.threads)
    print(json.dumps({"peak_mb": measure(given.tool, given.setting, parse(given.size), given.device)}))


def measure(tool: str, setting: str, size: Size, device: str) -> float:
    """Megabytes of this very process."""
    from benchmarks.data import make_batches
    from benchmarks.tools import make_tool

    tiny = make_tool(tool, setting, TINY, make_batches(TINY, 2, device), device)
    tiny.run(2, device)
    x_NBD = make_batches(size, 2 * size.seeds, device)
    return _beyond(device, lambda: make_tool(tool, setting, size, x_NBD, device).run(STEPS, device))


def _beyond(device: str, work: Callable[[], object]) -> float:
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        finish(device)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before = _restart()
    work()
    return (_high_water() - before) / 1e6


def _restart() -> int:
    """Bytes resident now; the high-water mark is set back to them where the system allows it."""
    if not STATUS.exists():
        return _high_water()
    with suppress(OSError):
        CLEAR.write_text("5")
    return _field("VmRSS")


def _high_water() -> int:
    if STATUS.exists():
        return _field("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _field(name: str) -> int:
    lines = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(lines[0].split()[1])


if __name__ == "__main__":
    main()
