"""T54. "Features differ across seeds at index 17": an index means nothing between two SAEs. husai matches first;
nothing it reports compares row f of one seed with row f of another.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.stability.features import feature_table
from husai.stability.matching import match_all
from husai.stability.pairwise import pairwise

S, F, D = 3, 30, 64
RNG = np.random.default_rng(0)
BASE = RNG.standard_normal((F, D))
ORDERS = [RNG.permutation(F) for _ in range(S)]
W = np.stack([BASE[order] for order in ORDERS])


def test_the_same_dictionary_in_another_order_is_the_same() -> None:
    by_index = [W[0, f] @ W[1, f] / np.linalg.norm(W[0, f]) / np.linalg.norm(W[1, f]) for f in range(F)]
    assert abs(float(np.mean(by_index))) < 0.2  # the published reading
    assert pairwise(W).matrix("mcc_signed")[0, 1] == pytest.approx(1)


def test_the_feature_table_follows_the_matching() -> None:
    table = feature_table(0, W, match_all(W))
    row = table.row(17)
    assert ORDERS[1][row["partner_1"]] == ORDERS[0][17] and ORDERS[2][row["partner_2"]] == ORDERS[0][17]
    assert row["cosine_1"] == pytest.approx(1) and row["reappearance"] == 1
    assert any(p != f for f, p in enumerate(table.columns["partner_1"]))


def test_reordering_a_seed_changes_no_cosine() -> None:
    moved = W.copy()
    moved[1] = W[1][RNG.permutation(F)]
    a, b = feature_table(0, W, match_all(W)), feature_table(0, moved, match_all(moved))
    assert a.columns["cosine_1"] == pytest.approx(b.columns["cosine_1"])
