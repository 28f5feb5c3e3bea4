"""Inputs changed on purpose, and the answer that a model which uses its operands would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.tasks.leak import rule_from
from husai.tasks.task import Task


@dataclass(frozen=True)
class Changed:
    """Changed token rows [M, T] and, per row, the class that the change points to [M]."""

    tokens_MT: np.ndarray
    classes_M: np.ndarray


def swap_token(task: Task, column: int, rows: np.ndarray, rng: np.random.Generator) -> Changed:
    """`rows` with the token of `column` exchanged for one of another class; `classes_M` is what that token stands for.

    Tokens are drawn evenly from those that the task holds in this column; what a token stands for is the commonest
    training label beside it. Rows come out empty when every token stands for the same class.
    """
    tokens_V, first = np.unique(task.tokens_NT[:, column], return_index=True)
    class_V = rule_from(task, (column,)).classes_N[first]
    own_M = class_V[np.searchsorted(tokens_V, task.tokens_NT[rows, column])]
    keys_MV = rng.random((len(rows), len(tokens_V)))
    keys_MV[own_M[:, None] == class_V[None, :]] = -1.0  # not a change
    drawn_M = keys_MV.argmax(axis=1)
    usable_M = keys_MV.max(axis=1) >= 0
    tokens_MT = task.tokens_NT[rows].copy()
    tokens_MT[:, column] = tokens_V[drawn_M]
    return Changed(tokens_MT[usable_M], class_V[drawn_M][usable_M])


def change_operand(task: Task, column: int, rows: np.ndarray, rng: np.random.Generator) -> Changed:
    """`rows` (held out) with one operand exchanged so that the answer is another one, and that answer.

    The new operands are those of another held-out row, so that neither question was seen in training; every token but
    this operand stays, an answer that stands in the input included. Rows without such a partner are left out.
    """
    others = [c for c in task.operand_columns if c != column]
    key_N = task.tokens_NT[:, others] @ task.d_vocab ** np.arange(len(others))
    pool = task.test_index[np.argsort(key_N[task.test_index], kind="stable")]
    low = np.searchsorted(key_N[pool], key_N[rows], side="left")
    high = np.searchsorted(key_N[pool], key_N[rows], side="right")
    partner_M = pool[np.minimum(low + (rng.random(len(rows)) * (high - low)).astype(np.int64), len(pool) - 1)]
    usable_M = (high > low) & (task.labels_N[partner_M] != task.labels_N[rows])
    tokens_MT = task.tokens_NT[rows].copy()
    tokens_MT[:, column] = task.tokens_NT[partner_M, column]
    return Changed(tokens_MT[usable_M], task.labels_N[partner_M][usable_M])
