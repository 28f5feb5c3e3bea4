"""What the tokens give away is read off the data, in any column."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.tasks.leak import chance_level, context_columns, leaking_columns, rule_from, unseen_share
from husai.tasks.modular import ModularConfig


def with_column(task, column_N, names):
    """The task with one more token column before the read position; its tokens get fresh numbers."""
    tokens_NT = np.insert(task.tokens_NT, task.read_position, task.d_vocab + column_N, axis=1)
    return replace(
        task,
        tokens_NT=tokens_NT,
        read_position=task.read_position + 1,
        d_vocab=task.d_vocab + len(names),
        token_names=(*task.token_names, *names),
    )


def test_the_standard_layout_gives_nothing_away():
    task = ModularConfig(p=23).build()
    assert context_columns(task) == (2,)
    assert leaking_columns(task, 0.05) == ()
    assert rule_from(task, (2,)).accuracy <= chance_level(task)
    assert rule_from(task, (0,)).accuracy < 0.2


def test_the_legacy_layout_holds_the_label():
    task = ModularConfig(p=23, layout="legacy_leaky").build()
    assert leaking_columns(task, 0.05) == (5,)
    assert rule_from(task, (5,)).accuracy == 1.0
    assert np.array_equal(rule_from(task, (5,)).classes_N, task.labels_N)


def test_a_label_in_a_third_of_the_rows_is_found():
    task = ModularConfig(p=11).build()
    shown_N = np.random.default_rng(0).random(task.n_rows) < 1 / 3
    leaky = with_column(task, np.where(shown_N, task.labels_N, 11), [f"hint {i}" for i in range(12)])
    assert leaking_columns(leaky, 0.05) == (2,)


def test_a_label_spread_over_two_columns_is_found_jointly():
    task = ModularConfig(p=16).build()
    high, low = np.divmod(task.labels_N, 4)
    leaky = with_column(with_column(task, high, list("abcd")), low, list("efgh"))
    assert rule_from(leaky, context_columns(leaky)).accuracy == 1.0


def test_a_number_for_every_row_is_no_leak():
    """It tells every training label and no held-out one; only the latter counts."""
    task = ModularConfig(p=11).build()
    numbered = with_column(task, np.arange(task.n_rows), [f"row {i}" for i in range(task.n_rows)])
    assert rule_from(numbered, (2,)).accuracy <= chance_level(task)
    assert leaking_columns(numbered, 0.05) == ()


@given(st.integers(3, 8), st.integers(0, 100))
def test_rule_agrees_with_counting(p, seed):
    task = ModularConfig(p=p, operation="multiplication", seed=seed).build()
    seen: dict[int, Counter[int]] = {}
    for i in task.train_index:
        seen.setdefault(int(task.tokens_NT[i, 0]), Counter())[int(task.labels_N[i])] += 1
    rule = rule_from(task, (0,))
    for i in task.train_index:
        counts = seen[int(task.tokens_NT[i, 0])]
        best = min(label for label, n in counts.items() if n == max(counts.values()))
        assert rule.classes_N[i] == best


def test_chance_is_the_best_constant_guess():
    task = ModularConfig(p=7, operation="multiplication").build()
    shares = Counter(task.labels_N[task.test_index].tolist()).most_common(1)[0][1] / task.test_index.size
    assert chance_level(task) == pytest.approx(shares)


def test_repeated_inputs_are_counted():
    task = ModularConfig(p=5, operation="subtraction").build()
    assert unseen_share(task) == 1.0
    tokens_NT = task.tokens_NT.copy()
    tokens_NT[task.test_index[0]] = tokens_NT[task.train_index[0]]
    assert unseen_share(replace(task, tokens_NT=tokens_NT)) == pytest.approx(1 - 1 / task.test_index.size)
