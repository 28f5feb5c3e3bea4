"""`python -m benchmarks.feed` as a program, at a tiny size: a line for each place of the rows and way of gathering."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--rows", "600", "--d-in", "16", "--d-sae", "32", "--k", "4", "--batch", "64", "--steps", "3", "--threads", "1"]


def test_every_line_has_its_share(tmp_path):
    command = [sys.executable, "-m", "benchmarks.feed", *TINY, "--folder", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()[2:]
    expected = [f"{place}, {ahead} ahead" for place in ("on disk", "in the page cache") for ahead in (0, 2)]
    assert [line.split(":")[0] for line in lines] == expected
    shares = [float(line.split("engine ")[1].split(", ")[1].split("%")[0]) for line in lines]
    assert all(0 < share < 100 for share in shares)
    assert not list(tmp_path.iterdir())
