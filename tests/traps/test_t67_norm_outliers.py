"""T67. Claimed: EV .98. True: two tokens of massive norm carried the variance; on all other rows nothing was explained.
husai warns when the variance sits in few rows, and gives the masks for explained variance with and without norm
outliers and the first position."""

from __future__ import annotations

import numpy as np
import pytest

from husai.activations.guards import check_rows, row_facts
from husai.activations.manifest import Origin
from husai.activations.strata import cache_strata
from husai.activations.writer import ShardWriter

N, D = 5000, 32
RNG = np.random.default_rng(0)
POSITIONS = np.arange(N) % 50
CALM = RNG.laplace(size=(N, D)).astype(np.float32)


def cache(folder, rows, positions=POSITIONS):
    origin = Origin(kind="external", synthetic=False, description="rows")
    writer = ShardWriter(folder, D, origin)
    writer.append(rows, tokens=positions % 7, positions=positions)
    return writer.close()


def massive(rows_at: np.ndarray) -> np.ndarray:
    """Rows with one direction of enormous size at the given rows."""
    rows = CALM.copy()
    rows[rows_at, 5] += 3000
    return rows


def explained(rows: np.ndarray, direction: np.ndarray, mask: np.ndarray) -> float:
    """EV on the rows of the mask of a reconstruction that knows one direction and the mean, by the definition."""
    x = rows[mask].astype(np.float64)
    centre = rows.mean(0, dtype=np.float64)
    x_hat = centre + np.outer((x - centre) @ direction, direction)
    return 1 - ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()


def test_two_massive_rows_are_seen_and_left_out(tmp_path):
    rows = massive(np.array([100, 4321]))
    found = cache(tmp_path / "c", rows)
    facts = row_facts(found.manifest, 64)
    assert facts["norm_outliers"] == 2
    assert facts["norm_outlier_variance_share"] > 0.97
    assert facts["rows_for_half_variance"] <= 2
    (warning,) = (line for line in check_rows(found.manifest, 64) if "of the variance" in line)
    assert "2 norm outliers carry 9" in warning
    assert "report explained variance with and without them" in warning
    masks = cache_strata(found, np.arange(N))
    direction = np.eye(D)[5]
    assert explained(rows, direction, masks["all"]) > 0.97
    assert explained(rows, direction, masks["without_norm_outliers"]) < 0.1


@pytest.mark.parametrize("length", [50, 3])
def test_first_positions_that_carry_the_variance_are_left_out(tmp_path, length):
    """At length 3 they are a third of the rows: no outliers, yet all of the variance."""
    positions = np.arange(N) % length
    rows = massive(np.flatnonzero(positions == 0))
    found = cache(tmp_path / "c", rows, positions)
    masks = cache_strata(found, np.arange(N))
    direction = np.eye(D)[5]
    assert explained(rows, direction, masks["all"]) > 0.97
    assert explained(rows, direction, masks["without_first_position"]) < 0.1
    (warning,) = (line for line in check_rows(found.manifest, 64) if "of the variance" in line)
    assert "the first position carries" in warning
    assert row_facts(found.manifest, 64)["first_position_variance_share"] > 0.95


def test_calm_rows_lose_nothing(tmp_path):
    found = cache(tmp_path / "c", CALM)
    assert not any("of the variance" in line for line in check_rows(found.manifest, 64))
    masks = cache_strata(found, np.arange(N))
    assert masks["without_norm_outliers"].mean() > 0.999
    whole, without = (explained(CALM, np.eye(D)[5], masks[name]) for name in ("all", "without_norm_outliers"))
    assert whole == pytest.approx(without, abs=0.01)
