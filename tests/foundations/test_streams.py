"""Named random streams: pinned, all different, and different for another root."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from husai.seeds import Role, derive, generator

GOLDEN = {
    Role.MODEL_INIT: 8841657618755975038,
    Role.MODEL_BATCHES: 934544468929647650,
    Role.DATA_SPLIT: 5112034379580316968,
    Role.DATA_SUBSET: 6961655497201032641,
    Role.PLANTED_DICTIONARY: 7455160562535173189,
    Role.PLANTED_CODES: 2096688078875325773,
    Role.SURROGATE: 5171946159935361603,
    Role.SAE_INIT: 3438980263928348743,
    Role.BATCH_ORDER: 2083355423348511261,
    Role.AUXILIARY: 4104227305616921746,
    Role.CONTROL: 5736669124300295146,
    Role.EVALUATION: 790889056235981693,
    Role.BOOTSTRAP: 9097390440179445889,
    Role.FLOOR: 6912350931190058043,
}
index = st.integers() | st.text(st.sampled_from("a/\\:0 sintr"), max_size=8)
use = st.tuples(st.integers(0, 50), st.sampled_from(list(Role)), st.lists(index, max_size=3).map(tuple))


@pytest.mark.parametrize("role", GOLDEN)
def test_seeds_are_pinned(role):
    assert derive(0, role) == GOLDEN[role]


def test_seeds_with_an_index_and_first_draws_are_pinned():
    assert derive(7, Role.SAE_INIT, 3) == 6534834573630881333
    assert derive(7, Role.SAE_INIT, "3") == 7599709094852446299
    assert derive(0, Role.BATCH_ORDER, "shared", 2) == 1605919909463414643
    first = generator(0, Role.SAE_INIT, 0)
    assert first.integers(0, 2**32, 4).tolist() == [284691137, 2512778750, 2837030519, 738935178]


@given(use, use)
def test_no_two_uses_share_a_stream(one, other):
    assume(one != other)
    assert derive(one[0], one[1], *one[2]) != derive(other[0], other[1], *other[2])


def test_a_text_that_looks_like_two_indices_is_one():
    assert derive(0, Role.FLOOR, "a/str:b") != derive(0, Role.FLOOR, "a", "b")
    assert derive(0, Role.FLOOR, "a\\", "b") != derive(0, Role.FLOOR, "a\\/str:b")


def test_the_first_thousand_seeds_of_every_role_are_all_different():
    seeds = [derive(root, role, i) for root in (0, 1) for role in Role for i in range(1000)]
    assert len(set(seeds)) == len(seeds)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_another_root_changes_every_role(root, other):
    assume(root != other)
    assert not {derive(root, role) for role in Role} & {derive(other, role) for role in Role}


@given(use)
def test_a_seed_fits_every_generator(one):
    assert 0 <= derive(one[0], one[1], *one[2]) < 2**63


def test_an_integer_of_numpy_counts_as_its_value():
    assert derive(np.int64(3), Role.SAE_INIT, np.int32(5)) == derive(3, Role.SAE_INIT, 5)


def test_what_is_no_number_and_no_text_is_refused():
    with pytest.raises(TypeError):
        derive(0, Role.SAE_INIT, 1.5)  # type: ignore[arg-type]


def test_streams_do_not_depend_on_salted_hashes():
    code = "from husai.seeds import *; print(derive(7, Role.SAE_INIT, 'x'))"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "99"}, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == derive(7, Role.SAE_INIT, "x")


def test_draws_of_two_roles_are_unrelated():
    a, b = (generator(0, role).standard_normal(20_000) for role in (Role.SAE_INIT, Role.PLANTED_DICTIONARY))
    assert abs(float(np.corrcoef(a, b)[0, 1])) < 0.03
