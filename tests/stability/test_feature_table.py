"""The table of one seed's features."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability.features import feature_table
from husai.stability.matching import match_all

ORDER = [2, 0, 1]
W = np.stack([np.eye(3, 5), np.eye(3, 5)[ORDER], np.eye(3, 5)])
ALIVE = np.array([[True, True, False], [True, True, True], [True, True, True]])


def table():
    return feature_table(
        0,
        W,
        match_all(W, ALIVE),
        frequency_F=[0.5, 0.25, 0.0],
        mean_activation_F=[1.0, 2.0, np.nan],
    )


def test_rows() -> None:
    row = table().row(0)
    assert row == {
        "feature": 0, "alive": True, "reappearance": 1.0, "frequency": 0.5, "mean_activation": 1.0,
        "explained_variance": None, "own_neighbour": 0.0,
        "partner_1": 1, "cosine_1": 1.0, "margin_1": 1.0, "partner_2": 0, "cosine_2": 1.0, "margin_2": 1.0,
    }  # fmt: skip
    dead = table().row(2)
    assert (dead["alive"], dead["reappearance"], dead["partner_1"], dead["cosine_1"]) == (False, None, -1, None)
    assert (dead["mean_activation"], dead["frequency"], dead["own_neighbour"]) == (None, 0.0, None)


def test_own_neighbours_are_those_of_the_seed() -> None:
    crowded = W.copy()
    crowded[1, 2] = crowded[1, 1] + [0.0, 0.0, 0.0, 1.0, 0.0]
    got = feature_table(1, crowded, match_all(crowded)).columns["own_neighbour"]
    assert got == pytest.approx([0.0, 0.5**0.5, 0.5**0.5])


def test_csv(tmp_path: Path) -> None:
    path = table().to_csv(tmp_path / "features.csv")
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(table()) == 3
    assert rows[0]["partner_1"] == "1" and rows[0]["alive"] == "1" and rows[0]["explained_variance"] == ""
    assert rows[2]["cosine_2"] == "" and rows[2]["alive"] == "0"
    assert path.read_text() == table().csv()


def test_bad_input() -> None:
    matches = match_all(W, ALIVE)
    with pytest.raises(UserError, match="seed 3"):
        feature_table(3, W, matches)
    with pytest.raises(UserError, match="one value per feature"):
        feature_table(0, W, matches, frequency_F=[0.1])
    with pytest.raises(UserError, match="feature 9"):
        table().row(9)
