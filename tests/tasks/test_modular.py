"""Modular arithmetic: right labels, no row leaks across the split, every stream has one job."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.errors import UserError
from husai.tasks.modular import ModularConfig

PLAIN = {
    "addition": lambda a, b, c: a + b,
    "subtraction": lambda a, b, c: a - b,
    "multiplication": lambda a, b, c: a * b,
    "(a+b)*c": lambda a, b, c: (a + b) * c,
}
configs = st.builds(
    ModularConfig,
    operation=st.sampled_from(sorted(PLAIN)),
    p=st.integers(3, 9),
    train_fraction=st.floats(0.2, 0.8),
    max_rows=st.none() | st.integers(20, 60),
    seed=st.integers(0, 2**40),
)
two_operands = st.sampled_from(["addition", "subtraction", "multiplication"])


def rows_of(task):
    """Operands of each row as Python integers, padded to three."""
    return [(*map(int, row), 0)[:3] for row in task.tokens_NT[:, list(task.operand_columns)]]


@given(configs)
def test_labels_agree_with_python_arithmetic(config):
    task = config.build()
    expected = [PLAIN[config.operation](*row) % config.p for row in rows_of(task)]
    assert task.labels_N.tolist() == expected


@given(configs)
def test_every_row_is_on_exactly_one_side(config):
    task = config.build()
    both = np.concatenate([task.train_index, task.test_index])
    assert sorted(both.tolist()) == list(range(task.n_rows))


@given(configs)
def test_rows_are_different_and_as_many_as_asked(config):
    task = config.build()
    assert len(np.unique(task.tokens_NT, axis=0)) == task.n_rows
    assert task.n_rows == min(config.max_rows or config.n_possible, config.n_possible)


@given(configs)
def test_commuting_operands_never_straddle_the_split(config):
    task = config.build()
    rows, test = rows_of(task), set(task.test_index.tolist())
    place = {row: i for i, row in enumerate(rows)}
    for (a, b, c), i in place.items():
        j = place.get((b, a, c))
        if config.operation != "subtraction" and j is not None:
            assert (i in test) == (j in test)


def test_subtraction_splits_ordered_pairs():
    task = ModularConfig(operation="subtraction", p=11).build()
    test = {tuple(row) for row in task.tokens_NT[task.test_index, :2].tolist()}
    apart = [(a, b) for a, b in test if (b, a) not in test]
    assert apart
    assert len(np.unique(task.groups_N)) == 121


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.8])
def test_train_fraction_is_a_share_of_unordered_pairs(fraction):
    task = ModularConfig(p=23, train_fraction=fraction).build()
    pairs = {tuple(sorted(row)) for row in task.tokens_NT[task.train_index, :2].tolist()}
    assert len(pairs) == round(fraction * 23 * 24 / 2)


def test_standard_layout_holds_operands_and_the_equals_sign_only():
    task = ModularConfig(p=5).build()
    assert task.tokens_NT[7].tolist() == [1, 2, 5]
    assert (task.d_vocab, task.n_classes, task.read_position) == (6, 5, 2)
    assert task.token_names[5] == "="
    three = ModularConfig(p=5, operation="(a+b)*c").build()
    assert three.tokens_NT[7].tolist() == [0, 1, 2, 5]
    assert (three.read_position, three.operand_columns) == (3, (0, 1, 2))


@given(two_operands, st.integers(3, 9))
def test_legacy_layout_is_read_at_the_answer_itself(operation, p):
    task = ModularConfig(p=p, operation=operation, layout="legacy_leaky").build()
    sign = {"addition": "+", "subtraction": "-", "multiplication": "*"}[operation]
    words = [task.token_names[t] for t in task.tokens_NT[1]]
    assert words == ["BOS", "0", sign, "1", "=", str(task.labels_N[1]), "EOS"]
    assert (task.tokens_NT[:, task.read_position] == task.labels_N).all()


def test_the_seed_changes_the_split_and_nothing_else():
    one, two = (ModularConfig(p=13, seed=s).build() for s in (1, 2))
    assert np.array_equal(one.tokens_NT, two.tokens_NT)
    assert not np.array_equal(one.train_index, two.train_index)
    assert one.content_hash != two.content_hash
    assert one.content_hash == ModularConfig(p=13, seed=1).build().content_hash


def test_subset_rows_do_not_depend_on_the_split():
    half, most = (ModularConfig(p=13, max_rows=50, train_fraction=f).build() for f in (0.5, 0.8))
    assert np.array_equal(half.tokens_NT, most.tokens_NT)
    assert half.train_index.size < most.train_index.size


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_an_empty_side_is_refused(fraction):
    with pytest.raises(UserError, match=r"side of the split is empty: change train_fraction"):
        ModularConfig(p=3, train_fraction=fraction).build()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"p": 2}, "p: "),
        ({"operation": "(a+b)*c", "layout": "legacy_leaky"}, "two operands"),
        ({"operation": "(a+b)*c", "p": 1000}, "set max_rows"),
        ({"train_fraction": 1.0}, "train_fraction"),
        ({"modulus": 5}, "unknown key 'modulus'"),
    ],
)
def test_what_cannot_be_built_is_one_clear_line(fields, message):
    with pytest.raises(UserError, match=message):
        ModularConfig.parse(fields)


def test_a_huge_task_is_possible_with_max_rows():
    task = ModularConfig(operation="(a+b)*c", p=997, max_rows=500).build()
    a, b, c = task.tokens_NT[:, :3].T
    assert task.n_rows == 500 and (task.labels_N == (a + b) * c % 997).all()
