"""Curves over training steps and the distance from the own initialisation."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability.metrics import mcc_signed
from husai.stability.trajectory import cosine_to_init, trajectory

RNG = np.random.default_rng(0)
S, F, D = 3, 8, 16
INIT, TRUTH = RNG.standard_normal((S, F, D)), RNG.standard_normal((F, D))


def snapshots() -> np.ndarray:
    """From independent initialisations to one shared dictionary."""
    return np.stack([(1 - x) * INIT + x * TRUTH for x in (0.0, 0.3, 1.0)])


def test_stability_rises_while_rows_leave_their_init() -> None:
    got = trajectory(snapshots(), [0, 100, 200], d_in=D)
    assert got.mean()[-1] == pytest.approx(1) and got.mean()[0] < got.mean()[1] < 1
    assert got.cosine_to_init_nS[0] == pytest.approx(np.ones(S))
    assert (np.diff(got.cosine_to_init_nS, axis=0) < 0).all()
    assert got.mcc_signed["all"][1, 0, 2] == pytest.approx(mcc_signed(snapshots()[1, 0], snapshots()[1, 2]))
    assert np.isnan(got.mcc_signed["all"][:, 0, 0]).all()


def test_words_carry_the_number() -> None:
    got = trajectory(snapshots()[:1].repeat(2, axis=0), [0, 130])
    assert got.words() == "cosine of alive rows to their own initialisation 1.000 after 130 steps"


def test_dead_rows_do_not_count() -> None:
    """Dead rows keep their init; over alive rows the move is seen."""
    moved = INIT.copy()
    moved[:, :2] = RNG.standard_normal((S, 2, D))
    alive = np.zeros((S, F), dtype=bool)
    alive[:, :2] = True
    got = trajectory(np.stack([INIT, moved]), [0, 10], alive)
    assert (got.cosine_to_init_nS[1] < 0.6).all()
    assert (cosine_to_init(moved, INIT).mean(axis=1) > 0.7).all()
    assert got.mcc_signed["alive"][1, 0, 1] == pytest.approx(mcc_signed(moved[0, :2], moved[1, :2]))


def test_masks_per_snapshot() -> None:
    alive = np.ones((2, S, F), dtype=bool)
    alive[1, :, 4:] = False
    got = trajectory(snapshots()[:2], [0, 5], alive)
    assert got.mcc_signed["alive"][1, 0, 1] == pytest.approx(mcc_signed(snapshots()[1, 0, :4], snapshots()[1, 1, :4]))


def test_no_row_alive() -> None:
    got = trajectory(snapshots()[:1], [0], np.zeros((S, F), dtype=bool))
    assert np.isnan(got.cosine_to_init_nS).all() and "no row is alive" in got.words()


def test_bad_input() -> None:
    good = snapshots()
    for steps in ([0, 100], [10, 20, 30], [0, 5, 5]):
        with pytest.raises(UserError, match="steps"):
            trajectory(good, steps)
    with pytest.raises(UserError, match="d_in"):
        trajectory(good, [0, 1, 2], d_in=F)
    with pytest.raises(UserError, match="differ in shape"):
        cosine_to_init(INIT, INIT[:, :4])
    with pytest.raises(UserError, match="masks for 3 snapshots"):
        trajectory(good, [0, 1, 2], np.ones((2, S, F), dtype=bool))
