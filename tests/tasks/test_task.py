"""`Task` refuses what would make a number meaningless."""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.tasks.task import Task


def make(**changes):
    fields = {
        "name": "toy",
        "tokens_NT": np.array([[0, 1], [1, 0], [1, 1], [0, 0]]),
        "labels_N": np.array([1, 1, 2, 0]),
        "groups_N": np.array([0, 0, 1, 2]),
        "train_index": np.array([0, 1]),
        "test_index": np.array([2, 3]),
        "read_position": 1,
        "d_vocab": 2,
        "n_classes": 3,
        "operand_columns": (0, 1),
        "token_names": ("0", "1"),
    }
    return Task(**(fields | changes))


def test_a_whole_task_is_accepted():
    assert make().n_rows == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_index": np.array([], dtype=int)}, "training side of the split is empty"),
        ({"test_index": np.array([], dtype=int)}, "held-out side of the split is empty"),
        ({"train_index": np.array([0]), "test_index": np.array([1, 2])}, "1 groups of rows are on both sides"),
        ({"test_index": np.array([1, 2])}, "on both sides"),
        ({"test_index": np.array([2, 2])}, "a row stands twice on the held-out side"),
        ({"test_index": np.array([2, 4])}, "held-out rows must be from 0 to 3"),
        ({"labels_N": np.array([0, 1, 2, 3])}, "labels must be from 0 to 2"),
        ({"tokens_NT": np.array([[0, 2], [1, 0], [1, 1], [0, 0]])}, "tokens must be from 0 to 1"),
        ({"labels_N": np.array([0, 1, 2])}, "4 token rows need 4 labels"),
        ({"read_position": 2}, "must be below 2"),
        ({"operand_columns": (0, 2)}, "must be below 2"),
        ({"token_names": ("0",)}, "2 tokens need as many names"),
    ],
)
def test_a_broken_task_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        make(**changes)


def test_arrays_cannot_be_changed_and_the_callers_stay_free():
    tokens = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
    task = make(tokens_NT=tokens)
    with pytest.raises(ValueError, match="read-only"):
        task.tokens_NT[0, 0] = 1
    tokens[0, 0] = 1  # not an error


@pytest.mark.parametrize(
    "changes",
    [
        {"labels_N": np.array([1, 1, 2, 1])},
        {"train_index": np.array([1, 0])},
        {"read_position": 0},
        {"n_classes": 4},
        {"token_names": ("zero", "one")},
        {"groups_N": np.array([0, 0, 1, 3])},
    ],
)
def test_content_hash_follows_content(changes):
    assert make(**changes).content_hash != make().content_hash


def test_content_hash_ignores_the_name_and_the_integer_width():
    same = make(name="other", labels_N=np.array([1, 1, 2, 0], dtype=np.int32))
    assert same.content_hash == make().content_hash
