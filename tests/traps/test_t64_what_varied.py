"""T64. "Reproducible" meant the same data in the same order: only the initialisation had varied. In husai the sentence
of a verdict names the streams that varied and what was therefore not tested.
"""

from __future__ import annotations

import pytest

from husai.seeds import Role
from husai.statistics.decision import Contrast, Evidence, decide
from husai.statistics.estimate import estimate
from husai.statistics.wording import what_varied


def sentence(*roles: Role) -> str:
    D, no = (estimate(v, 0.005, 4, level=0.95, method="t", n=5, unit="seeds") for v in (0.3, 0.0))
    both = Contrast("gaussian", D, D)
    got = decide(Evidence("k=4", "k=32", both, (both,), D, no, {"every arm": True}, "sane", roles))
    assert got.state == "supported"
    return got.words


def test_only_the_initialisation() -> None:
    words = sentence(Role.SAE_INIT)
    assert "over these initialisations" in words
    assert "data and order were the same, so this tests the initialisation only" in words
    assert "reproducible" not in words.lower()


def test_order_too() -> None:
    words = sentence(Role.SAE_INIT, Role.BATCH_ORDER)
    assert "initialisations and batch orders" in words
    assert "the data were the same, so stability over other data was not tested" in words


def test_disjoint_data() -> None:
    words = sentence(Role.SAE_INIT, Role.BATCH_ORDER, Role.DATA_SUBSET)
    assert "disjoint" in words and "were the same" not in words and "only" not in words


@pytest.mark.parametrize("roles", [(), (Role.EVALUATION,), (Role.FLOOR, Role.BOOTSTRAP)])
def test_nothing_varied(roles: tuple[Role, ...]) -> None:
    assert "they are copies" in what_varied(roles)
    assert "they are copies" in sentence(*roles)
