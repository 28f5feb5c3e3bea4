"""How much the tokens before the answer tell about the label on their own: read off the data, no model needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.tasks.task import Task


@dataclass(frozen=True)
class Rule:
    """The best guess of the label from the tokens of some columns, learned on training rows.

    `classes_N` is the guess for each row of the task; `accuracy` its share of correct held-out rows.
    """

    columns: tuple[int, ...]
    classes_N: np.ndarray
    accuracy: float


def rule_from(task: Task, columns: tuple[int, ...]) -> Rule:
    """Commonest training label for each combination of tokens in `columns`.

    Combinations that training rows do not hold get the commonest label of all; ties go to the lowest label.
    """
    key_N = _keys(task.tokens_NT[:, columns])
    train = task.train_index
    constant = int(np.bincount(task.labels_N[train]).argmax())
    class_of_key = np.full(key_N.max() + 1, constant)
    pairs, counts = np.unique(key_N[train] * task.n_classes + task.labels_N[train], return_counts=True)
    keys, labels = np.divmod(pairs, task.n_classes)
    order = np.lexsort((-labels, counts))  # rarest first, so that the commonest label is written last
    class_of_key[keys[order]] = labels[order]
    classes_N = class_of_key[key_N]
    correct_N = classes_N == task.labels_N
    return Rule(columns, classes_N, float(correct_N[task.test_index].mean()))


def chance_level(task: Task) -> float:
    """Accuracy on held-out rows of the best constant guess: the share of their commonest label."""
    return float(np.bincount(task.labels_N[task.test_index]).max() / task.test_index.size)


def context_columns(task: Task) -> tuple[int, ...]:
    """Columns at or before the read position that hold no operand."""
    return tuple(c for c in range(task.read_position + 1) if c not in task.operand_columns)


def leaking_columns(task: Task, margin: float) -> tuple[int, ...]:
    """Columns without an operand, at or before the read position, that beat the constant guess by over `margin`."""
    chance = chance_level(task)
    return tuple(c for c in context_columns(task) if rule_from(task, (c,)).accuracy > chance + margin)


def unseen_share(task: Task) -> float:
    """Share of held-out rows whose input (up to the read position) no training row holds."""
    key_N = _keys(task.tokens_NT[:, : task.read_position + 1])
    return float((~np.isin(key_N[task.test_index], key_N[task.train_index])).mean())


def _keys(tokens_NC: np.ndarray) -> np.ndarray:
    """Number [N] of each different row."""
    if not tokens_NC.shape[1]:
        return np.zeros(len(tokens_NC), dtype=np.int64)
    return np.unique(tokens_NC, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
