"""Which streams varied, in words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.errors import UserError
from husai.seeds import Role
from husai.statistics.wording import NAMES, over, what_varied


def test_every_role_has_words() -> None:
    assert set(NAMES) == set(Role)


@given(st.lists(st.sampled_from(list(Role)), min_size=1, unique=True))
def test_a_sentence_names_exactly_the_streams_given(roles: list[Role]) -> None:
    words = what_varied(roles)
    if "nothing in training" not in words:
        assert {role for role, name in NAMES.items() if name in words} == set(roles)
    assert words == what_varied([role.value for role in reversed(roles)])


ONLY_INIT = "; data and order were the same, so this tests the initialisation only"
NOT_DATA = "; the data were the same, so stability over other data was not tested"
NOTHING = "nothing in training varied between the seeds: they are copies, and their agreement says nothing"
ORDER = [Role.SAE_INIT, Role.BATCH_ORDER]


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ([Role.SAE_INIT], "the SAE initialisation varied between the seeds" + ONLY_INIT),
        (ORDER, "the SAE initialisation and the batch order varied between the seeds" + NOT_DATA),
        (
            [*ORDER, Role.DATA_SUBSET],
            "the data (disjoint rows), the SAE initialisation and the batch order varied between the seeds",
        ),
        ([], NOTHING),
        ([Role.EVALUATION], NOTHING),
    ],
)
def test_what_it_does_not_test_is_said(roles: Sequence[Role], words: str) -> None:
    assert what_varied(roles) == words


def test_scope_of_a_verdict() -> None:
    assert over([Role.SAE_INIT]) == "for this checkpoint, over these initialisations"
    assert over([Role.SAE_INIT, Role.BATCH_ORDER, Role.DATA_SUBSET]) == (
        "for this checkpoint, over these initialisations, batch orders and disjoint data sets"
    )
    assert over([Role.MODEL_INIT, Role.SAE_INIT]) == "for these models, over these initialisations"
    assert over([]) == "for this checkpoint"


def test_an_unknown_stream_is_an_error() -> None:
    with pytest.raises(UserError, match="did you mean 'sae_init'"):
        what_varied(["sae_inits"])
