"""Seeds that started from the same place."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability.shared_init import shared_initialisation

RNG = np.random.default_rng(0)
S, F, D = 4, 48, 24
INDEPENDENT = RNG.standard_normal((S, F, D))


def test_independent() -> None:
    got = shared_initialisation(INDEPENDENT, d_in=D)
    assert not got.shared and got.finding == "independent"
    assert got.words().startswith("initialisations are independent (mcc_signed at step 0 at most 0.")


@pytest.mark.parametrize("seed", range(5))
def test_no_false_alarm_at_small_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for n, d in ((64, 32), (32, 64), (256, 128), (64, 64)):
        assert not shared_initialisation(rng.standard_normal((5, n, d))).shared


def test_permuted_rescaled_copies() -> None:
    base = INDEPENDENT[0]
    copies = np.stack([base[RNG.permutation(F)] * RNG.uniform(0.5, 2, (F, 1)) for _ in range(S)])
    got = shared_initialisation(copies)
    assert got.finding == "identical" and "6 of 6 pairs identical" in got.words()


def test_near_copies_and_one_odd_pair() -> None:
    near = INDEPENDENT[0] + 0.1 * RNG.standard_normal((S, F, D))
    assert shared_initialisation(near).finding == "near copies"
    W = INDEPENDENT.copy()
    W[3] = W[1]
    got = shared_initialisation(W)
    assert got.finding == "identical" and "1 of 6 pairs identical" in got.words()
    assert [p[:2] for p in got.pairs if p[2] != "independent"] == [(1, 3)]


def test_a_shared_mean_direction() -> None:
    assert shared_initialisation(INDEPENDENT + 3 * RNG.standard_normal(D)).finding in ("alike", "near copies")


def test_one_seed() -> None:
    with pytest.raises(UserError, match="two seeds"):
        shared_initialisation(INDEPENDENT[:1])
