"""T62. A consistency of 1.0: every row had collapsed on one direction, and a collapsed dictionary matches anything.
husai prints each dictionary's own nearest-neighbour cosine and the matching margin beside the number, and flags it.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.stability.matching import match_features
from husai.stability.pairwise import pairwise
from husai.stability.similarity import nearest_neighbour
from husai.statistics.intervals import pair_mean

S, F, D = 5, 40, 32
RNG = np.random.default_rng(0)
COLLAPSED = RNG.standard_normal(D) + 0.01 * RNG.standard_normal((S, F, D))
HEALTHY = RNG.standard_normal((F, D)) + 0.01 * RNG.standard_normal((S, F, D))


def test_a_perfect_score_of_a_collapsed_dictionary_is_flagged() -> None:
    table = pairwise(COLLAPSED)
    assert pair_mean(table.matrix("mcc_signed")).value > 0.999
    assert table.collapsed == tuple(range(S))
    own = table.own["alive"][0]
    assert own.mean is not None and own.mean > 0.999
    assert "COLLAPSED" in own.words() and own.words().startswith("own nearest-neighbour cosine 1.000")
    assert abs(table.margin["alive"][0, 1]) < 0.01  # the partner is one of many


def test_an_honest_perfect_score_is_not() -> None:
    table = pairwise(HEALTHY)
    assert pair_mean(table.matrix("mcc_signed")).value > 0.999
    assert table.collapsed == ()
    assert table.margin["alive"][0, 1] > 0.4
    assert "COLLAPSED" not in table.own["alive"][0].words()


def test_collapse_on_a_line_counts_both_signs() -> None:
    signs = RNG.choice([-1.0, 1.0], (F, 1))
    assert nearest_neighbour(signs * COLLAPSED[0]).collapsed


def test_collapse_of_a_part_is_in_the_numbers() -> None:
    mixed = HEALTHY[0].copy()
    mixed[:10] = COLLAPSED[0][:10]
    own = nearest_neighbour(mixed)
    assert own.share_close == pytest.approx(0.25) and not own.collapsed
    assert np.median(match_features(mixed, HEALTHY[1]).margin) > 0.2
