"""Every pair of seeds, both populations, raw and floor-normalised."""

from __future__ import annotations

import numpy as np
import pytest

from husai import events
from husai.errors import Interrupted, UserError
from husai.stability.metrics import activation_match, mcc_abs, mcc_signed, mean_max_cos, shared_at, subspace_overlap
from husai.stability.nulls import floor_mcc, floor_mean_max_cos
from husai.stability.pairwise import POPULATIONS, pairwise
from husai.statistics.intervals import pair_mean

S, F, D, N = 4, 12, 6, 60
RNG = np.random.default_rng(0)
W, E, X = RNG.standard_normal((S, F, D)), RNG.standard_normal((S, F, D)), RNG.standard_normal((S, N, F))
ALIVE = RNG.random((S, F)) < 0.7


def test_every_cell_is_the_metric_of_that_pair() -> None:
    table = pairwise(W, E, ALIVE, activations_SNF=X, d_in=D, thresholds=(0.1, 0.5), ranks=(2,))
    for p in POPULATIONS:
        for i in range(S):
            for j in range(S):
                if i == j:
                    assert all(np.isnan(table.matrix(m, p)[i, j]) for m in table.metrics)
                    continue
                a, b = (ALIVE[i], ALIVE[j]) if p == "alive" else (slice(None), slice(None))
                got = {m: table.matrix(m, p)[i, j] for m in table.metrics}
                assert got == pytest.approx(
                    {
                        "mcc_signed": mcc_signed(W[i][a], W[j][b]),
                        "mcc_abs": mcc_abs(W[i][a], W[j][b]),
                        "mean_max_cos": mean_max_cos(W[i][a], W[j][b]),
                        "shared_at(0.1)": shared_at(W[i][a], W[j][b], E[i][a], E[j][b], 0.1),
                        "shared_at(0.5)": shared_at(W[i][a], W[j][b], E[i][a], E[j][b], 0.5),
                        "activation_match": activation_match(X[i][:, a], X[j][:, b]),
                        "subspace_overlap(2)": subspace_overlap(W[i][a], W[j][b], 2),
                    }
                )
    assert (table.count_S["alive"] == ALIVE.sum(axis=1)).all() and (table.count_S["all"] == F).all()


def test_floors_are_those_of_the_sizes_compared() -> None:
    table = pairwise(W, alive_masks_SF=ALIVE)
    n = ALIVE.sum(axis=1)
    floors = table.floors("mcc_signed", "alive")
    loose = table.floors("mean_max_cos", "alive")
    assert floors is not None and loose is not None
    assert floors[0, 1] == floor_mcc("mcc_signed", D, n[0], n[1]).value
    assert loose[2, 3] == floor_mean_max_cos(D, n[2], n[3]).value
    raw = table.matrix("mcc_signed", "alive")
    assert table.normalised("mcc_signed", "alive")[0, 1] == pytest.approx(
        (raw[0, 1] - floors[0, 1]) / (1 - floors[0, 1])
    )


def test_random_decoders_are_at_their_floor() -> None:
    table = pairwise(np.random.default_rng(1).standard_normal((6, 40, 16)))
    for metric in ("mcc_signed", "mcc_abs", "mean_max_cos"):
        assert abs(pair_mean(table.normalised(metric, "all")).value) < 0.02


def test_without_masks_all_is_alive() -> None:
    table = pairwise(W)
    for metric in table.metrics:
        assert np.array_equal(table.matrix(metric, "all"), table.matrix(metric, "alive"), equal_nan=True)
    assert table.metrics == ("mcc_signed", "mcc_abs", "mean_max_cos")


def test_dead_latents_beyond_the_mask_do_not_reach_the_alive_column() -> None:
    padded = np.concatenate([W, np.random.default_rng(2).standard_normal((S, 5, D))], axis=1)
    alive = np.concatenate([np.ones((S, F), dtype=bool), np.zeros((S, 5), dtype=bool)], axis=1)
    got, bare = pairwise(padded, alive_masks_SF=alive), pairwise(W)
    for metric in bare.metrics:
        assert np.array_equal(got.matrix(metric, "alive"), bare.matrix(metric, "alive"), equal_nan=True)
        assert not np.array_equal(got.matrix(metric, "all"), bare.matrix(metric, "all"), equal_nan=True)


def test_margin_and_own_neighbours_stand_beside_the_numbers() -> None:
    W2 = W.copy()
    W2[1] = W[1][0] + 1e-3 * W[1]
    table = pairwise(W2)
    assert table.collapsed == (1,)
    assert table.own["alive"][1].mean == pytest.approx(1, abs=1e-4)
    assert np.isfinite(table.margin["alive"][0, 2]) and np.isnan(table.margin["alive"][0, 0])


def test_a_seed_without_alive_latents() -> None:
    alive = np.ones((S, F), dtype=bool)
    alive[0] = False
    table = pairwise(W, E, alive, activations_SNF=X, ranks=(2,))
    assert table.matrix("mcc_signed", "alive")[0, 1] == 0
    assert np.isnan(table.matrix("subspace_overlap(2)", "alive")[0, 1])
    floors = table.floors("mcc_signed", "alive")
    assert floors is not None and np.isnan(floors[0, 1]) and np.isfinite(floors[1, 2])


def test_bad_input() -> None:
    with pytest.raises(UserError, match="d_in"):
        pairwise(W, d_in=F)
    with pytest.raises(UserError, match="feature-major"):
        pairwise(W, E.transpose(0, 2, 1))
    with pytest.raises(UserError, match=r"\[S, N, F\]"):
        pairwise(W, activations_SNF=X.transpose(0, 2, 1))
    for r in (0, D + 1, F + 1):
        with pytest.raises(UserError, match="between 1 and 6 dimensions"):
            pairwise(W, ranks=(r,))
    with pytest.raises(UserError, match="did you mean 'mcc_signed'"):
        pairwise(W).matrix("mcc_sign")
    with pytest.raises(UserError, match="no floor"):
        pairwise(W, E).normalised("shared_at(0.7)")


def test_it_stops_when_asked() -> None:
    events.request_stop()
    try:
        with pytest.raises(Interrupted):
            pairwise(W)
    finally:
        events.clear_stop()
