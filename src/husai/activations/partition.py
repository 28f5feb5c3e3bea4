"""Row numbers dealt out: disjoint parts for the seeds, and rows held out for evaluation. Groups stay together."""

from __future__ import annotations

import numpy as np

from husai.errors import UserError
from husai.seeds import Role, generator


def partition(pool_M: np.ndarray, parts: int, seed: int, groups_M: np.ndarray | None = None) -> list[np.ndarray]:
    """Deal the row numbers `pool_M` into `parts` disjoint parts of equal size, each sorted.

    Rows of one group (`groups_M` [M], e.g. the positions of one problem, or copies of one row) go to one part. At
    most what equal sizes require is left out. Stream: `data_subset`.

    Raises:
        UserError: fewer groups than parts.
    """
    if parts == 1:
        return [np.sort(pool_M)]
    order = generator(seed, Role.DATA_SUBSET, "parts", parts)
    if groups_M is None:
        size = len(pool_M) // parts
        _enough(len(pool_M), parts, "rows")
        dealt = pool_M[order.permutation(len(pool_M))]
        return [np.sort(dealt[i * size : (i + 1) * size]) for i in range(parts)]
    return _by_group(pool_M, groups_M, parts, order)


def _by_group(pool_M: np.ndarray, groups_M: np.ndarray, parts: int, order: np.random.Generator) -> list[np.ndarray]:
    """Each group, in random order, goes to the part that has the fewest rows so far."""
    group, sizes = np.unique(groups_M, return_inverse=True, return_counts=True)[1:]
    _enough(len(sizes), parts, "groups of rows")
    part_of, filled = np.empty(len(sizes), dtype=np.int64), np.zeros(parts, dtype=np.int64)
    for number in order.permutation(len(sizes)):
        part_of[number] = filled.argmin()
        filled[part_of[number]] += sizes[number]
    found = [pool_M[part_of[group] == part] for part in range(parts)]
    size = min(len(rows) for rows in found)
    return [np.sort(rows[order.permutation(len(rows))[:size]]) for rows in found]


def hold_out(n_rows: int, share: float, seed: int, groups_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(training, held-out) row numbers, each sorted; `share` of the rows (or of the groups) is held out.

    Stream: `data_split`; it never depends on the seed of an SAE.

    Raises:
        UserError: a side would be empty.
    """
    group = np.arange(n_rows) if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
    n_groups = int(group.max()) + 1 if len(group) else 0
    n_out = round(share * n_groups)
    if not 0 < n_out < n_groups:
        raise UserError(f"holding out {share:g} of {n_groups} leaves one side empty: change the share or add rows")
    chosen = np.zeros(n_groups, dtype=bool)
    chosen[generator(seed, Role.DATA_SPLIT, "activations").permutation(n_groups)[:n_out]] = True
    return np.flatnonzero(~chosen[group]), np.flatnonzero(chosen[group])


def _enough(available: int, parts: int, what: str) -> None:
    if available < parts:
        raise UserError(f"{available} {what} cannot be dealt to {parts} seeds: use fewer seeds or more data")
