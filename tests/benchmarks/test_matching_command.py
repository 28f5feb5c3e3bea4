"""The benchmark of matching runs, agrees with itself, and says what it could not run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.matching import main, table
from benchmarks.matching_data import Size, make, parse


def test_sizes() -> None:
    assert parse("4096x512") == Size(4096, 512) and parse(" 65536x1024x5") == Size(65_536, 1024, 5)
    assert str(parse("64x8")) == "64x8" and str(parse("64x8x3")) == "64x8x3"
    for wrong in ("64", "64x", "1x8", "64x8x1", "ax8", "1x2x3x4"):
        with pytest.raises(ValueError, match=r"for example|at least two"):
            parse(wrong)


def test_half_of_the_features_come_back(tmp_path: Path) -> None:
    W = np.load(make(Size(400, 64, 3), tmp_path / "W.npy"))
    again = np.load(make(Size(400, 64, 3), tmp_path / "again.npy"))
    assert W.shape == (3, 400, 64) and W.tobytes() == again.tobytes()
    unit = W / np.linalg.norm(W, axis=2, keepdims=True)
    best = (unit[0] @ unit[2].T).max(axis=1)
    assert (best > 0.55).mean() == pytest.approx(0.5 * (0.905 - 0.1) / 1.4, abs=0.05)  # cosine 1 / (1 + noise^2)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "rows.json"
    asked = ["--sizes", "120x16,90x8x3", "--repeats", "1", "--threads", "1", "--all-metrics", "--json", str(to)]
    rows = main(asked)
    assert json.loads(to.read_text()) == rows
    two, three = rows[:6], rows[6:]
    assert [r["method"] for r in two] == ["plain", "husai", "sparse", "plain_all", "husai_all", "sparse_all"]
    assert [r["method"] for r in three] == ["husai_seeds"]
    for metric in ("mcc_signed", "mcc_abs", "mean_max_cos"):
        values = [r[metric] for r in two if metric in r]
        assert len(values) >= 3 and max(values) - min(values) < 1e-5
    for row in rows:
        assert row["n"] == 1 and row["seconds"] > 0 and 0 < row["peak_gib"] < 2
    assert two[1]["how"] == "exact assignment" and two[2]["how"].startswith("sparse assignment on 32 nearest")
    said = capsys.readouterr()
    assert said.out.count("\n") == 1 + 2 + 6 + 1
    assert "0 readings left, about 0.0 min" in said.err


def test_what_does_not_fit_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    rows = main(["--sizes", "50x4", "--repeats", "1", "--threads", "1", "--memory-gib", "0"])
    plain = rows[0]
    assert plain["method"] == "plain" and plain["seconds"] is None and plain["why_not"].startswith("would need")
    assert "would need" in table(rows) and rows[1]["seconds"] > 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--sizes", "50"])
    assert "for example 4096x512" in capsys.readouterr().err
