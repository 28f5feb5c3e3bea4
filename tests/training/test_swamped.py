"""A weight that swamps the reconstruction loss is said in words, also when the term has won and is small again."""

from __future__ import annotations

import numpy as np

from husai.training.coupling.swamped import SWAMPED_ABOVE, swamped


def history(mse: list[float], term: list[float]) -> dict[str, dict[int, np.ndarray]]:
    """Two seeds whose mean is the value given, every 25 steps."""
    return {
        name: {25 * i + 1: np.array([0.5 * value, 1.5 * value]) for i, value in enumerate(values)}
        for name, values in (("mse", mse), ("joint", term))
    }


def test_the_worst_step_and_the_last_are_named() -> None:
    said = swamped("joint", history([10.0, 5.0, 4.0], [60.0, 60.0, 0.4]))
    assert said.startswith("coupling joint: its term is 12 times the reconstruction loss at step 26 and 0.1 times at")
    assert "lower coupling.weight" in said


def test_up_to_the_threshold_nothing_is_said() -> None:
    assert SWAMPED_ABOVE == 1.0
    assert swamped("joint", history([10.0, 5.0], [10.0, 5.0])) == ""
    assert swamped("joint", history([10.0, 5.0], [10.0, 5.1])) != ""


def test_a_coupling_without_a_term_swamps_nothing() -> None:
    assert swamped("pinning", history([10.0], [99.0])) == ""


def test_a_perfect_reconstruction_is_no_division_by_zero() -> None:
    assert "times the reconstruction loss" in swamped("joint", history([0.0], [1.0]))
