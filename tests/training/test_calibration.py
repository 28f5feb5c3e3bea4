"""The search for a requested L0, on curves like those of penalties, targets and k."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.training.calibration import TOLERANCE, calibrate


@given(st.floats(-2.5, -0.3), st.floats(0.5, 200), st.sampled_from([2, 3, 8, 32, 100]), st.floats(1e-3, 10))
def test_a_power_law_that_falls(exponent: float, scale: float, wanted: float, start: float) -> None:
    found = calibrate(lambda value: scale * value**exponent, start, wanted, rises=False)
    assert found.reached and abs(found.l0 / wanted - 1) <= TOLERANCE
    assert found.l0 == pytest.approx(scale * found.value**exponent)


@given(st.floats(0.5, 3), st.floats(0.1, 5), st.sampled_from([2, 8, 32, 64]))
def test_an_l0_that_saturates_at_both_ends(steepness: float, centre: float, wanted: float) -> None:
    def l0(value: float) -> float:
        return 128 / (1 + (value / centre) ** steepness)

    assert calibrate(l0, 1.0, wanted, rises=False).reached


@given(st.floats(0.15, 0.9), st.sampled_from([4, 8, 32]))
def test_whole_numbers_of_latents(share: float, wanted: int) -> None:
    found = calibrate(lambda k: share * k, wanted, wanted, rises=True, whole=True)
    assert found.value == int(found.value)
    nearest = min(abs(share * k / wanted - 1) for k in range(1, 400))
    assert abs(found.l0 / wanted - 1) <= max(TOLERANCE, nearest) + 1e-9


def test_an_l0_out_of_reach_is_said() -> None:
    found = calibrate(lambda value: max(50.0, 60 - value), 1.0, 8, rises=False, most=6)
    assert not found.reached and found.l0 == 50 and len(found.tried) <= 6


def test_nothing_is_trained_twice_and_everything_tried_is_kept() -> None:
    seen: list[float] = []

    def l0(value: float) -> float:
        seen.append(value)
        return 40 * math.exp(-value)

    found = calibrate(l0, 0.2, 8, rises=False)
    assert [t.value for t in found.tried] == seen and len(set(seen)) == len(seen) <= 10
