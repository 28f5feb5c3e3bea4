"""T31. An effect of k was read over all latents; dead ones keep their init and sit at the floor, and over alive latents
the sign flips. husai reports both columns, and gives no verdict where they disagree in sign.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.seeds import Role
from husai.stability.nulls import floor_mcc
from husai.stability.pairwise import PairTable, pairwise
from husai.statistics.decision import Contrast, Evidence, decide
from husai.statistics.estimate import estimate
from husai.statistics.intervals import pair_mean, pair_mean_difference

S, F, D = 5, 60, 40


def arm(name: int, alive: int, noise: float) -> PairTable:
    """`alive` latents that return up to noise; the others are dead and hold their own random init."""
    rng = np.random.default_rng(name)
    truth = rng.standard_normal((F, D))
    W = truth + noise * rng.standard_normal((S, F, D))
    W[:, alive:] = rng.standard_normal((S, F - alive, D))
    mask = np.zeros((S, F), dtype=bool)
    mask[:, :alive] = True
    return pairwise(W, alive_masks_SF=mask)


LOW_K, HIGH_K = arm(1, 15, 0.3), arm(2, 60, 0.7)


def test_both_columns_are_there_and_have_opposite_signs() -> None:
    alive = pair_mean(LOW_K.matrix("mcc_signed", "alive")).value - pair_mean(HIGH_K.matrix("mcc_signed", "alive")).value
    every = pair_mean(LOW_K.matrix("mcc_signed", "all")).value - pair_mean(HIGH_K.matrix("mcc_signed", "all")).value
    assert alive > 0.1 and every < -0.1


def test_no_verdict_where_they_disagree() -> None:
    effect = Contrast(
        "target",
        pair_mean_difference(LOW_K.matrix("mcc_signed", "alive"), HIGH_K.matrix("mcc_signed", "alive")),
        pair_mean_difference(LOW_K.matrix("mcc_signed", "all"), HIGH_K.matrix("mcc_signed", "all")),
    )
    against_nothing = Contrast("gaussian", effect.alive, effect.all)
    yes, no = (estimate(v, 0.005, 4, level=0.95, method="t", n=5, unit="seeds") for v in (0.3, 0.0))
    got = decide(Evidence("k=4", "k=32", effect, (against_nothing,), yes, no, {"k=4": True}, "sane", (Role.SAE_INIT,)))
    assert got.state == "no verdict"
    assert {r.code for r in got.reasons} == {"opposite signs"}
    assert all("alive latents" in r.text and "all latents" in r.text for r in got.reasons)
    assert got.outcomes[0].call == "beyond"  # alone, the alive column would have been a success


def test_dead_latents_sit_at_their_floor() -> None:
    only_dead = arm(3, 0, 0.0).matrix("mcc_signed", "all")
    assert pair_mean(only_dead).value == pytest.approx(floor_mcc("mcc_signed", D, F, F).value, abs=0.02)
