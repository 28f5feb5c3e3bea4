"""The front of two qualities, and who is surely behind it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from husai.statistics.estimate import Estimate
from husai.statistics.intervals import unit_mean
from husai.statistics.pareto import standings

numbers = st.floats(-1, 1).map(lambda x: round(x, 3))


def at(value: float, spread: float = 0.01) -> Estimate:
    return unit_mean(value + spread * np.linspace(-1, 1, 5), unit="seeds")


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_the_front_is_who_nobody_beats_in_both(points: list[tuple[float, float]]) -> None:
    found = standings({str(i): (at(x), at(y)) for i, (x, y) in enumerate(points)})
    values = [(at(a).value, at(b).value) for a, b in points]
    for i in range(len(points)):
        beaten = any(a > values[i][0] and b > values[i][1] for j, (a, b) in enumerate(values) if j != i)
        assert found[str(i)].on_front == (not beaten)
        assert not (found[str(i)].on_front and found[str(i)].surely_behind)


def test_surely_behind_only_where_both_intervals_are_clear() -> None:
    found = standings({"a": (at(0.9), at(0.5)), "b": (at(0.5), at(0.1)), "c": (at(0.899), at(0.1))})
    assert found["b"].surely_behind == ("a",)
    assert found["c"].surely_behind == () and not found["c"].on_front  # its reconstruction is as good as a's
    noisy = standings({"a": (at(0.9, 0.5), at(0.5)), "b": (at(0.5, 0.5), at(0.1))})
    assert noisy["b"].surely_behind == () and not noisy["b"].on_front
