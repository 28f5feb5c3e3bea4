"""Agreement between groups of seeds that were trained together, which decides, and inside them, which was put in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from husai.stability.pairwise import POPULATIONS, PairTable
from husai.statistics.intervals import cross_group_mean
from husai.store.record import Measurement
from husai.studies.coupled import BETWEEN, METRIC, WITHIN
from husai.studies.measured import over_pairs, single

PUT_IN = "seeds of a group were trained to agree: put in, not found, and no estimate of anything"


def group_measurements(pairs: PairTable, groups: Sequence[int], artefacts: tuple[str, ...]) -> list[Measurement]:
    """Both, for each population; the unit of the interval is the group, and inside groups there is none."""
    made = []
    for population in POPULATIONS:
        matrix_SS, scope = pairs.matrix(METRIC, population), {"population": population}
        between = partial(cross_group_mean, groups=groups)
        more = {"higher_is_better": True, "artefacts": artefacts}
        unit = "cosine, pairs of seeds of different groups"
        made.append(over_pairs(BETWEEN, matrix_SS, between, unit, scope, **more))
        made.append(single(WITHIN, *_within(matrix_SS, groups), scope, PUT_IN))
    return made


def _within(matrix_SS: np.ndarray, groups: Sequence[int]) -> tuple[float | None, str]:
    """Mean over the pairs inside groups, and its unit; None where groups are of one seed, or a pair has no value."""
    label_S, S = np.array(groups), len(groups)
    inside_SS = (label_S[:, None] == label_S[None, :]) & ~np.eye(S, dtype=bool)
    return (
        float(matrix_SS[inside_SS].mean()) if inside_SS.any() else None,
        f"cosine, {int(inside_SS.sum()) // 2} pairs of seeds of one group",
    )
