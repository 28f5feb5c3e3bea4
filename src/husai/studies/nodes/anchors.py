"""Training rows for a group of seeds to take anchors from, which no other group has.

All groups read one random order of the training rows, and group g takes the g-th stretch of it: two groups that drew on
their own would now and then draw the same row, and a row that they share ties them together. Rows of one problem, or
copies of one row (the groups of the activations), count as one: only the first of them is ever taken. Where each seed
has rows of its own, a group takes from those of its seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from husai.activations.partition import partition
from husai.errors import UserError
from husai.seeds import Role, generator
from husai.studies.nodes.rows import Rows


def anchor_rows(rows: Rows, seeds: Sequence[int], parts: int, root: int, group: int, n: int) -> Tensor:
    """`n` scaled rows [n, D] for the group of that number; `parts` as the rows were dealt to all seeds of the stack.

    Stream: `auxiliary`, "anchors".

    Raises:
        UserError: there are not enough rows.
    """
    groups_M = None if rows.groups_N is None else rows.groups_N[rows.train_index]
    unit_M = np.arange(len(rows.train_index)) if groups_M is None else groups_M
    firsts = np.unique(unit_M, return_index=True)[1]
    order = rows.train_index[generator(root, Role.AUXILIARY, "anchors").permutation(firsts)]
    start = group * n
    if parts > 1:
        dealt = partition(rows.train_index, parts, root, groups_M)
        order, start = order[np.isin(order, np.concatenate([dealt[seed % parts] for seed in seeds]))], 0
    chosen = order[start : start + n]
    if len(chosen) < n:
        left = f"rows are left for {len(chosen)} of the {n} anchors of group {group}"
        raise UserError(f"{left}, which no other group may have: lower coupling.anchors, or use fewer groups")
    return torch.from_numpy(rows.scaling.apply(rows.cache.rows(np.sort(chosen))))
