"""The decision rule: every state, every reason, and words that follow the numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from husai.errors import UserError
from husai.seeds import Role
from husai.statistics.decision import Contrast, Evidence, call, decide, provisional
from husai.statistics.estimate import Estimate, estimate
from husai.statistics.intervals import lower_bound_over_seeds, pair_contrast, pair_mean, pair_mean_difference
from husai.statistics.legacy import legacy_pair_bootstrap

T95, T90 = stats.t.ppf(0.975, 4), stats.t.ppf(0.95, 4)


def made(value: float, se: float, n: int = 5, unit: str = "seeds") -> Estimate:
    return estimate(value, se, n - 1, level=0.95, method="test", n=n, unit=unit)


def contrast(name: str, value: float, se: float = 0.005, every: float | None = None, unit: str = "seeds") -> Contrast:
    return Contrast(name, made(value, se, unit=unit), made(value if every is None else every, se, unit=unit))


def evidence(*controls: Contrast, **changes: Any) -> Evidence:
    given = Evidence(
        arm_a="k=4",
        arm_b="k=32",
        target=contrast("target", 0.3),
        controls=controls or (contrast("gaussian", 0.2),),
        positive=made(0.25, 0.01),
        negative=made(0.0, 0.005),
        converged={"k=4": True, "k=32": True, "gaussian k=4": True, "gaussian k=32": True},
        model="sane",
        varied=(Role.SAE_INIT,),
    )
    return replace(given, **changes)


def test_supported() -> None:
    got = decide(evidence())
    assert (got.state, got.blocked_by, got.reasons) == ("supported", (), ())
    assert got.outcomes[0].interval_95.level == 0.95 and got.outcomes[0].interval_90.level == pytest.approx(0.90)
    assert "for this checkpoint, over these initialisations" in got.words
    assert "tests the initialisation only" in got.words
    assert "D = 0.2 (95 % interval 0.1861 to 0.2139, n = 5 seeds), above the margin 0.05" in got.words


def test_every_control_must_be_beaten() -> None:
    got = decide(evidence(contrast("gaussian", 0.2), contrast("random_model", 0.01, unit="models")))
    assert (got.state, got.blocked_by) == ("not beyond", ("random_model",))
    assert "not beyond" not in got.outcomes[0].call
    assert "k=4 is not more stable than k=32 beyond random_model" in got.words
    assert "not shown to be learned, which is not the same as not real" in got.words


def test_equivalence_with_a_control_is_not_beyond() -> None:
    got = decide(evidence(contrast("gaussian", 0.0, se=0.02)))
    assert T90 * 0.02 < 0.05 < T95 * 0.02  # only the 90 % interval lies inside the margin
    assert got.state == "not beyond"
    assert "its 90 % interval -0.04264 to 0.04264 inside the margin 0.05" in got.words


def test_clearly_worse_than_a_control_is_not_beyond() -> None:
    got = decide(evidence(contrast("gaussian", -0.3, every=-0.2), target=contrast("target", 0.3)))
    assert got.state == "not beyond"
    assert "below the margin 0.05" in got.words


def test_undecided() -> None:
    got = decide(evidence(contrast("gaussian", 0.08, se=0.03)))
    assert (got.state, got.blocked_by) == ("undecided", ("gaussian",))
    assert "undecided" in got.words and "more stable than k=32 beyond every" not in got.words


def test_not_beyond_one_control_outweighs_undecided_against_another() -> None:
    got = decide(evidence(contrast("gaussian", 0.08, 0.03), contrast("random_model", 0.0, unit="models")))
    assert (got.state, got.blocked_by) == ("not beyond", ("gaussian", "random_model"))


def test_the_bound_is_the_two_sided_one() -> None:
    """A D whose one-sided bound is above the margin and whose two-sided bound is not stays undecided."""
    se = 0.03
    value = 0.05 + (T95 + T90) / 2 * se
    assert value - T90 * se > 0.05 > value - T95 * se
    assert call(made(value, se), 0.05)[0] == "undecided"


@given(st.floats(-0.5, 0.5), st.floats(0.001, 0.2), st.integers(5, 12))
def test_the_rule_restated(value: float, se: float, n: int) -> None:
    t95, t90 = stats.t.ppf(0.975, n - 1) * se, stats.t.ppf(0.95, n - 1) * se
    assume(min(abs(value - t95 - 0.05), abs(value + t95 - 0.05), abs(abs(value) + t90 - 0.05)) > 1e-9)
    beyond = value - t95 > 0.05
    equal = value - t90 > -0.05 and value + t90 < 0.05
    expected = "beyond" if beyond else "not beyond" if equal or value + t95 < 0.05 else "undecided"
    assert call(made(value, se, n), 0.05)[0] == expected


@given(st.lists(st.sampled_from([0.2, 0.08, 0.0]), min_size=1, max_size=4))
def test_adding_a_control_never_helps(values: list[float]) -> None:
    controls = [contrast("gaussian", values[0], 0.02)]
    controls += [contrast(f"c{i}", v, 0.02) for i, v in enumerate(values[1:])]
    order = {"supported": 2, "undecided": 1, "not beyond": 0}
    states = [order[decide(evidence(*controls[: i + 1])).state] for i in range(len(controls))]
    assert states == sorted(states, reverse=True)


def reasons(given: Evidence) -> dict[str, str]:
    got = decide(given)
    assert got.state == "no verdict"
    assert got.words.startswith("no verdict on k=4 against k=32: ")
    assert all(r.text in got.words for r in got.reasons)
    return {r.code: r.text for r in got.reasons}


def test_opposite_signs_over_all_and_alive_latents() -> None:
    text = reasons(evidence(contrast("gaussian", 0.2, every=-0.1)))["opposite signs"]
    assert "(0.2)" in text and "(-0.1)" in text
    assert "the target" in reasons(evidence(target=contrast("target", 0.3, every=-0.01)))["opposite signs"]


def test_an_unconverged_arm_takes_part_in_no_verdict() -> None:
    assert "k=32 is undertrained" in reasons(evidence(converged={"k=4": True, "k=32": False}))["undertrained"]
    assert "not checked" in reasons(evidence(converged={"k=4": None}))["undertrained"]
    assert "not checked" in reasons(evidence(converged={}))["undertrained"]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("positive control", {"positive": None}),
        ("positive control", {"positive": made(0.06, 0.02)}),
        ("positive control", {"positive": made(0.0, 0.001)}),
        ("negative control", {"negative": None}),
        ("negative control", {"negative": made(0.3, 0.01)}),
        ("negative control", {"negative": made(0.03, 0.03)}),
        ("refused", {"model": "not sane"}),
        ("refused", {"model": "not checked"}),
        ("unmatched", {"unmatched": ("L0",)}),
        ("collapsed", {"collapsed": ("target k=4: 5 of 5 dictionaries collapsed",)}),
        ("missing control", {"controls": ()}),
        ("missing control", {"controls": (contrast("random_model", 0.2, unit="models"),)}),
        ("wrong unit", {"controls": (contrast("gaussian", 0.2), contrast("random_model", 0.2, unit="seeds"))}),
    ],
)
def test_preconditions(code: str, changes: dict[str, Any]) -> None:
    assert set(reasons(evidence(**changes))) == {code}


def test_too_few_seeds() -> None:
    few = pair_mean(np.full((4, 4), 0.2))
    got = decide(evidence(Contrast("gaussian", few, few)))
    assert got.state == "no verdict"
    assert [r.text for r in got.reasons] == ["gaussian: too few seeds (4 < 5)"]
    assert got.outcomes[0].call == "too few units"
    small = made(0.2, 0.001, n=4)  # an interval made elsewhere does not get around it
    assert "too few units" in reasons(evidence(Contrast("gaussian", small, small)))
    assert call(small, 0.05)[0] == "too few units"
    assert "too few units" in reasons(evidence(positive=small))["positive control"]


def test_every_reason_is_given() -> None:
    got = reasons(evidence(positive=None, negative=None, model="not sane", converged={"k=4": False}))
    assert set(got) == {"refused", "undertrained", "positive control", "negative control"}


def test_planted_data_have_no_model_to_check() -> None:
    assert decide(evidence(model="no model")).state == "supported"


def test_replays_and_one_sided_bounds_take_part_in_no_verdict() -> None:
    replay = legacy_pair_bootstrap(np.full((5, 5), 0.4), draws=20)
    with pytest.raises(UserError, match="takes part in no verdict"):
        decide(evidence(Contrast("gaussian", replay, replay)))
    bound = lower_bound_over_seeds([0.4, 0.5, 0.4, 0.5, 0.4])
    with pytest.raises(UserError, match="takes part in no verdict"):
        decide(evidence(positive=bound))


@pytest.mark.parametrize("margin", [0.0, -0.1, float("nan"), float("inf")])
def test_a_margin_is_positive(margin: float) -> None:
    with pytest.raises(UserError, match="margin"):
        decide(evidence(margin=margin))


def test_a_control_is_given_once() -> None:
    with pytest.raises(UserError, match="given twice"):
        decide(evidence(contrast("gaussian", 0.2), contrast("gaussian", 0.2)))


def test_claims_over_several_arms_need_wider_intervals() -> None:
    given = evidence(contrast("gaussian", 0.05 + 1.2 * T95 * 0.02, se=0.02))
    assert decide(given).state == "supported"
    got = decide(replace(given, claims=8))
    assert got.state == "undecided"
    assert got.outcomes[0].interval_95.level == pytest.approx(1 - 0.05 / 8)
    with pytest.raises(UserError, match="at least 1"):
        decide(replace(given, claims=0))


def test_the_provisional_state_asks_the_controls_of_the_target_alone() -> None:
    assert provisional(evidence(converged={"k=4": False})) == "supported"
    assert provisional(evidence(converged={"k=4": False}, positive=None, negative=None)) == "supported"
    assert provisional(evidence(controls=())) == "no verdict"


def test_a_decision_is_json() -> None:
    plain = json.loads(json.dumps(decide(evidence()).plain(), allow_nan=False))
    assert plain["outcomes"][0]["interval_95"]["n_unit"] == "seeds"


def test_end_to_end_from_matrices() -> None:
    """Five seeds, arms whose gap is .3 on the target and .1 on the Gaussian: D = .2."""
    rng = np.random.default_rng(0)

    def arm(mean: float) -> np.ndarray:
        x = rng.normal(0, 0.004, (5, 5))
        return mean + (x + x.T) / 2

    a, b, ga, gb = arm(0.7), arm(0.4), arm(0.4), arm(0.3)
    D = pair_contrast([(1, a), (-1, b), (-1, ga), (1, gb)])
    target = pair_mean_difference(a, b)
    got = decide(evidence(Contrast("gaussian", D, D), target=Contrast("target", target, target)))
    assert got.state == "supported"
    assert got.outcomes[0].interval_95.value == pytest.approx(0.2, abs=0.01)
