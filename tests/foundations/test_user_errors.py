"""An error that a user can cause is one line that says what to do."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.errors import HusaiError, Interrupted, Refused, UserError, nearest, unknown

NAMES = ("quickstart", "smoke")


@given(st.text())
def test_always_one_line(text):
    said = str(UserError(text))
    assert len(said.splitlines()) <= 1
    assert said.split() == text.split()


@given(st.text(), st.lists(st.text(), max_size=5))
def test_unknown_names_are_one_line_too(name, valid):
    assert len(str(unknown("thing", name, valid)).splitlines()) == 1


def test_the_nearest_name_or_all_of_them():
    assert nearest("quikstart", NAMES) == "did you mean 'quickstart'?"
    assert nearest("SMOKE", NAMES) == "did you mean 'smoke'?"
    assert nearest("zzz", NAMES) == "valid: quickstart, smoke"
    assert nearest("zzz", []) == "there is nothing to choose from"
    assert str(unknown("study", "smok", NAMES)) == "unknown study 'smok': did you mean 'smoke'?"


@pytest.mark.parametrize("kind", [UserError, Refused, Interrupted])
def test_errors_survive_the_way_from_a_worker(kind):
    sent = kind("a line\nin two")
    back = pickle.loads(pickle.dumps(sent))  # noqa: S301 - made one line above
    assert type(back) is kind
    assert str(back) == str(sent)


def test_kinds():
    assert issubclass(Refused, UserError)
    assert issubclass(UserError, HusaiError)
    assert not issubclass(Interrupted, UserError)
