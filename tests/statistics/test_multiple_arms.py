"""Claims over any of m arms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.errors import UserError
from husai.statistics.intervals import pair_mean, unit_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.statistics.multiple import bonferroni_intervals, holm


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert list(holm({"z": 0.5, "a": 0.1})) == ["z", "a"]
    assert holm({"a": 0.01}, m=10) == pytest.approx({"a": 0.1})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = list(holm({str(i): x for i, x in enumerate(p)}).values())
    assert all(x <= a <= min(1.0, len(p) * x) + 1e-12 for x, a in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_bad_p_values() -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        holm({"a": 1.2})
    with pytest.raises(UserError, match="m counts all"):
        holm({"a": 0.1, "b": 0.2}, m=1)


def test_bonferroni_intervals_are_wider_and_say_so() -> None:
    arms = {name: unit_mean(np.random.default_rng(i).normal(size=6)) for i, name in enumerate("abcd")}
    got = bonferroni_intervals(arms)
    direct = unit_mean(np.random.default_rng(0).normal(size=6), level=1 - 0.05 / 4)
    assert (got["a"].low, got["a"].high) == (pytest.approx(direct.low), pytest.approx(direct.high))
    assert got["a"].note == "Bonferroni over 4: jointly 95 %"
    assert bonferroni_intervals({"a": arms["a"]}, m=16)["a"].level == pytest.approx(1 - 0.05 / 16)


def test_joint_coverage() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(600):
        arms = {str(i): unit_mean(rng.normal(size=5)) for i in range(6)}
        hits.append(all((e.low or 0) <= 0 <= (e.high or 0) for e in bonferroni_intervals(arms).values()))
    assert np.mean(hits) >= 0.93


def test_too_few_units_stay_without_an_interval_and_replays_are_refused() -> None:
    few = bonferroni_intervals({"a": unit_mean([0.1, 0.2])})["a"]
    assert not few.bounded and "too few" in few.note
    matrix = np.random.default_rng(0).random((5, 5))
    matrix = matrix + matrix.T
    with pytest.raises(UserError, match="standard error"):
        bonferroni_intervals({"a": legacy_pair_bootstrap(matrix, draws=50)})
    assert pair_mean(matrix).bounded
