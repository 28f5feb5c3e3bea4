"""Train and held-out rows, split by group so that nothing about a held-out row was seen in training."""

from __future__ import annotations

import numpy as np


def split_by_group(
    groups_N: np.ndarray, train_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(train, test) row numbers, sorted; `train_fraction` is the share of groups, rounded to a whole number.

    Either side may come out empty (few groups, extreme fraction); `Task` refuses that.
    """
    names, group_N = np.unique(groups_N, return_inverse=True)
    n_train = round(train_fraction * names.size)
    in_train = np.zeros(names.size, dtype=bool)
    in_train[rng.permutation(names.size)[:n_train]] = True
    return np.flatnonzero(in_train[group_N]), np.flatnonzero(~in_train[group_N])
