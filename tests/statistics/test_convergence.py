"""Converged: T/2 and T steps agree in verdict, statistic and explained variance."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from husai.errors import UserError
from husai.statistics.convergence import Convergence, convergence, not_converged
from husai.statistics.estimate import estimate
from husai.statistics.intervals import pair_mean


def checked(**changes: Any) -> Convergence:
    given: dict[str, Any] = {
        "steps_half": 1250,
        "steps_full": 2500,
        "verdict_half": "supported",
        "verdict_full": "supported",
        "change": estimate(0.004, 0.003, 4, level=0.95, method="test", n=5, unit="seeds"),
        "ev_half": 0.940,
        "ev_full": 0.947,
        "margin": 0.05,
    }
    return convergence(**(given | changes))


def test_converged_with_its_numbers() -> None:
    got = checked()
    assert got.converged and all(c.holds for c in got.checks)
    assert got.statistic.limit == 0.025
    assert got.words().startswith("converged (1250 against 2500 steps): the verdict stayed 'supported'")
    assert "moved from 0.94 to 0.947, less than 0.01" in got.words()
    assert json.loads(json.dumps(got.plain()))["converged"] is True


@pytest.mark.parametrize(
    ("failing", "changes"),
    [
        ("verdict", {"verdict_half": "undecided"}),
        ("verdict", {"verdict_half": "no verdict", "verdict_full": "no verdict"}),
        ("statistic", {"change": estimate(0.02, 0.01, 4, level=0.95, method="t", n=5, unit="seeds")}),
        ("statistic", {"change": estimate(-0.02, 0.01, 4, level=0.95, method="t", n=5, unit="seeds")}),
        ("statistic", {"change": pair_mean(np.zeros((4, 4)))}),
        ("explained variance", {"ev_half": 0.93}),
        ("explained variance", {"ev_half": 0.96}),
        ("explained variance", {"ev_full": float("nan")}),
    ],
)
def test_each_check_alone_is_enough_to_fail(failing: str, changes: dict[str, Any]) -> None:
    got = checked(**changes)
    assert [c.name for c in got.checks if not c.holds] == [failing]
    assert not got.converged
    assert got.words().startswith("of unknown convergence" if got.too_few else "undertrained")


def test_the_bound_decides_not_the_point() -> None:
    """A change of 0 with a wide interval is not known to be small."""
    wide = estimate(0.0, 0.0101, 4, level=0.5, method="t", n=5, unit="seeds")
    assert not checked(change=wide).converged
    assert checked(change=estimate(0.0, 0.0089, 4, level=0.5, method="t", n=5, unit="seeds")).converged


def test_t_is_twice_t_half() -> None:
    with pytest.raises(UserError, match="T/2 with T"):
        checked(steps_full=2600)
    with pytest.raises(UserError, match="margin"):
        checked(margin=0.0)


def test_below_five_seeds_nothing_is_called_undertrained() -> None:
    few, early = checked(change=pair_mean(np.zeros((4, 4)))), checked(ev_half=0.5)
    assert few.too_few == "too few seeds (4 < 5)" and not few.converged and not checked().too_few
    assert not_converged({"target": checked()}) == ""
    assert not_converged({"target": few, "gaussian": early, "twin": checked()}) == (
        "undertrained on gaussian; of unknown convergence on target: too few seeds (4 < 5)"
    )
