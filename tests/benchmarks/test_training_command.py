"""`python -m benchmarks.training` as a program, at a tiny size and without peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = [
    "d_in",
    "d_sae",
    "k",
    "batch",
    "seeds",
    "ms_husai",
    "ms_saelens",
    "ratio_saelens",
    "ratio_dictionary_learning",
    "ratio_sparsify",
    "ms_encoder_product",
    "over_floor",
    "peak_mb_husai",
    "peak_mb_saelens",
]
TINY = ["--sizes", "16x32x4x64x2", "--seconds", "0.002", "--warm-up", "1", "--threads", "1", "--engine", "reference"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.training", *arguments]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=300, check=False)


def test_a_run_without_peers_writes_exactly_the_keys_and_null_where_nothing_ran(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    run = _run("--peers", "", "--json", str(file), *TINY)
    assert run.returncode == 0, run.stderr
    (row,) = json.loads(file.read_text())
    assert [key for key in row if key != "spread"] == KEYS
    assert [row[key] for key in KEYS[:5]] == [16, 32, 4, 64, 2]
    absent = ["ms_saelens", "ratio_saelens", "ratio_dictionary_learning", "ratio_sparsify", "peak_mb_saelens"]
    assert all(row[key] is None for key in absent)
    assert row["over_floor"] == pytest.approx(row["ms_husai"] / row["ms_encoder_product"])
    assert row["peak_mb_husai"] >= 0
    for peer in ("saelens", "dictionary_learning", "sparsify"):
        assert f"{peer} was not asked for" in run.stderr
    assert row["spread"]["repeats"] == 7
    assert row["spread"]["threads"] == 1
    assert "engine reference" in row["spread"]["husai"]["setting"]


def test_rows_become_a_table_in_which_missing_is_not_zero(tmp_path: Path) -> None:
    row = dict.fromkeys(KEYS, None) | dict(zip(KEYS[:5], [16, 32, 4, 64, 2], strict=True))
    row |= {"ms_husai": 1.234, "ms_encoder_product": 0.5, "over_floor": 2.468, "peak_mb_husai": 7.0}
    husai = {"ms": 1.234, "iqr": [1.1, 1.3], "ratio_iqr": [1.0, 1.0], "setting": "engine cpu"}
    row["spread"] = {"repeats": 7, "device": "d", "threads": 1, "torch": "t", "python": "p", "husai": husai}
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([row]))
    command = [sys.executable, "-m", "benchmarks.table", str(file)]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "| 16 | 32 | 4 | 64 | 2 | 1.23 | - | - | - | - | 0.5 | 2.47 | 7 | - |" in out
    assert "husai: engine cpu" in out and "1.1 to 1.3" in out


def test_stacked_rows_have_their_own_keys(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    run = _run("--stacked", "--json", str(file), *TINY)
    assert run.returncode == 0, run.stderr
    (row,) = json.loads(file.read_text())
    assert list(row) == [*KEYS[:5], "ms_stacked", "ms_alone", "ratio_alone", "spread"]
    assert row["ratio_alone"] == pytest.approx(row["ms_alone"] / row["ms_stacked"])


def test_an_engine_that_is_not_there_is_said_in_one_line() -> None:
    run = _run(*TINY, "--engine", "warp")
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("engine warp cannot be had")
    assert "Traceback" not in run.stderr


def test_a_device_that_is_not_there_is_said_in_one_line() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    run = _run("--device", "cuda", *TINY)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("no CUDA device here")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "saelenz"], "choose from saelens, dictionary_learning, sparsify"),
        (["--repeats", "6"], "take 7 or more"),
        (["--sizes", "512x4096x32x4096"], "write a size as d_in x d_sae x k x batch x seeds"),
        (["--sizes", "16x32x16x64x1"], "k must be below d_in and d_sae"),
    ],
)
def test_a_wrong_option_is_refused_with_what_to_write(arguments: list[str], said: str) -> None:
    run = _run(*TINY, "--no-memory", *arguments)
    assert run.returncode == 2
    assert said in run.stderr


def test_an_engine_that_does_not_run_on_the_device_is_said_in_one_line() -> None:
    run = _run(*TINY, "--engine", "cuda")
    assert run.returncode != 0
    assert run.stderr.strip().splitlines()[-1].startswith("engine cuda ")
