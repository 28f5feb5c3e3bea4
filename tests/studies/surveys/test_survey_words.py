"""Words of a survey: they count, they rank nothing of less than two, and consistent is not said to be true."""

from __future__ import annotations

from typing import Any

import pytest

from husai.store.record import Interval, Measurement
from husai.studies.surveys.words import answer, comparisons, truth

SETTINGS = [{"setting": "a", "ranked": True}, {"setting": "b", "ranked": False}]
EARLY, OFF = "undertrained on target", "unmatched: L0 on target is 5 where 4 was requested"


def arm(name: str, *reasons: str, says: str = "beyond", l0: float | None = 4.0, place: int = 0, **more: Any) -> Any:
    rank = {"rank": place, "of": 9, "on_front": True, "surely_behind": []} if place else None
    given = {"setting": "a", "arm": name, "requested_l0": l0, "says": says, "reasons": list(reasons), "rank": rank}
    return given | more


def words(*arms: Any) -> str:
    (found,) = comparisons(SETTINGS, list(arms))
    return found["words"]


def test_two_that_take_part_are_ranked() -> None:
    behind = {"rank": 2, "of": 2, "on_front": False, "surely_behind": ["x"]}
    found = comparisons(
        SETTINGS, [arm("x", place=1), arm("y", says="undecided") | {"rank": behind}, arm("z", EARLY, OFF)]
    )
    (entry,) = found
    assert entry["words"] == (
        "2 of 3 arms matched and converged (1 unmatched, 1 undertrained); beyond every control: x; "
        "most beyond its controls: x; on the front of stability and explained variance: x; surely behind another arm: y"
    )
    assert (entry["arms"], entry["take_part"], entry["beyond"], entry["ranked"]) == (3, 2, 1, True)
    assert entry["title"] == "a, L0 = 4 requested"
    assert answer(found) == (
        "2 of 3 arms that were to be compared are matched and converged; 1 of 1 requested L0s has a ranking"
    )


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_are_not(n: int) -> None:
    said = words(*[arm(f"x{i}", place=1) for i in range(n)], arm("y", EARLY), arm("z", OFF))
    assert "no ranking, which takes two" in said and "most beyond" not in said
    assert said.startswith(f"{n} of {n + 2} arms matched and converged (1 unmatched, 1 undertrained)")


def test_several_beyond_every_control_are_said_to_be_uncorrected() -> None:
    assert "beyond every control (each by itself, not corrected for their number): x, y" in words(
        arm("x", place=1), arm("y", place=2)
    )


def test_too_few_seeds_are_not_called_undertrained() -> None:
    few = "of unknown convergence on target: too few seeds (3 < 5)"
    assert words(arm("x", few)).startswith("0 of 1 arm matched and converged (1 of unknown convergence)")
    assert answer(comparisons([SETTINGS[1]], [arm("x", few, setting="b")]), (), [arm("x", few, early=few)]) == (
        "nothing is compared: of unknown convergence: a x"
    )


def test_what_is_not_compared_says_why() -> None:
    assert words(arm("x", "unmatched: no L0 was requested", l0=None)) == (
        "1 arm shown and not compared: no L0 was requested, so they are unmatched"
    )
    found = comparisons(SETTINGS, [arm("x", "another table", setting="b"), arm("y", "another table", setting="b")])
    assert found[0]["words"] == "2 arms shown and not compared: nothing is ranked here"
    assert not found[0]["ranked"]
    done, early = {"early": ""}, {"early": EARLY}
    arms = [arm("x", **done), arm("y", says="not beyond", **done), arm("z", **early), arm("w", **done)]
    assert answer(found, (), arms) == (
        "nothing is compared: beyond every control: a x, a w; not beyond some control: a y; undertrained: a z"
    )


def test_none_beyond_is_said() -> None:
    assert "beyond every control: none" in words(
        arm("x", says="not beyond", place=1), arm("y", says="undecided", place=2)
    )


def number(value: float, half: float | None = 0.01) -> Measurement:
    made = None if half is None else Interval(low=value - half, high=value + half, level=0.95, method="t")
    return Measurement(name="m", value=value, unit="cosine", interval=made)


@pytest.mark.parametrize(
    ("between", "to_truth", "says", "state", "expected"),
    [
        (0.81, 0.73, "beyond", "not true", "consistent, but not true"),
        (0.90, 0.97, "beyond", "true", "consistent, and true within the margin"),
        (0.60, 0.73, "beyond", "short of the truth", "consistent, but short of the truth"),
        (0.74, 0.73, "beyond", "short of the truth", "consistent, but short of the truth"),
        (0.90, 0.955, "beyond", "undecided", "consistent; whether true within the margin is undecided"),
        (0.90, 0.97, "not beyond", "true", "not consistent beyond controls, but true within the margin"),
        (0.50, 0.40, "undecided", "not true", "not shown to be consistent beyond controls, and not true"),
    ],
)
def test_consistent_and_true(between: float, to_truth: float, says: str, state: str, expected: str) -> None:
    found = truth(arm("x", says=says), number(between), number(to_truth), number(1.0), 0.05)
    assert found is not None and found["state"] == state and found["words"].startswith(expected)


def test_less_is_attainable_with_fewer_latents() -> None:
    found = truth(arm("x"), number(0.7), number(0.79), number(0.8), 0.05)
    assert found is not None and found["state"] == "true"


def test_without_interval_or_truth_nothing_is_claimed() -> None:
    assert truth(arm("x"), number(0.9), None, None, 0.05) is None
    found = truth(arm("x", says="no statement"), number(0.9), number(0.9, None), number(1.0), 0.05)
    assert found == {"state": "unknown", "words": "no statement on consistency; nothing can be said of the truth"}


def test_what_was_trained_too_briefly_says_so() -> None:
    found = truth(arm("x", EARLY), number(0.81), number(0.73), number(1.0), 0.05)
    assert found is not None and found["words"].endswith("(undertrained: more steps may change it)")
