"""T61. "Not a property of random models" rested on one random-weight model with many SAE seeds: one draw. In husai the
unit of that control is the model; one draw is refused, fewer than five give no interval and no verdict.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import Refused
from husai.seeds import Role
from husai.statistics.decision import Contrast, Decision, Evidence, decide
from husai.statistics.estimate import Estimate, estimate
from husai.statistics.intervals import independent_difference, nested_pair_mean, pair_mean

RNG = np.random.default_rng(0)


def differences(models: int, seeds: int) -> list[np.ndarray]:
    """M_a - M_b of each random model; models differ far more than seeds of one model do."""
    level = 0.1 + 0.1 * RNG.standard_normal(models)
    return [np.full((seeds, seeds), x) + 0.001 * np.ones((seeds, seeds)) for x in level]


TARGET = estimate(0.5, 0.005, 4, level=0.95, method="jackknife", n=5, unit="seeds")


def verdict(control: Estimate) -> Decision:
    yes, no = (estimate(v, 0.005, 4, level=0.95, method="t", n=5, unit="seeds") for v in (0.3, 0.0))
    D = independent_difference(TARGET, control)
    gaussian = Contrast("gaussian", TARGET, TARGET)
    return decide(
        Evidence(
            "k=4", "k=32", Contrast("target", TARGET, TARGET), (gaussian, Contrast("random_model", D, D)),
            yes, no, {"every arm": True}, "sane", (Role.SAE_INIT,),
        )
    )  # fmt: skip


def test_one_model_is_refused() -> None:
    with pytest.raises(Refused, match="one draw says nothing about models"):
        nested_pair_mean(differences(1, 10))


def test_three_models_give_no_verdict_however_many_seeds() -> None:
    control = nested_pair_mean(differences(3, 10))
    assert control.note == "too few models (3 < 5)" and not control.bounded
    got = verdict(control)
    assert got.state == "no verdict"
    assert [r.text for r in got.reasons] == ["random_model: too few models (3 < 5)"]


def test_seeds_of_one_model_cannot_pose_as_models() -> None:
    pooled = pair_mean(differences(1, 10)[0] + 0.01 * np.eye(10))
    got = verdict(pooled)
    assert got.state == "no verdict"
    assert "the unit must be the model, not seeds" in got.words


def test_five_models_and_the_width_is_that_of_the_models() -> None:
    matrices = differences(5, 2)
    control = nested_pair_mean(matrices)
    assert (control.n, control.n_unit) == (5, "models")
    between = np.std([m[0, 1] for m in matrices], ddof=1) / np.sqrt(5)
    assert control.se == pytest.approx(between)
    assert verdict(control).state == "supported"
