"""Weighed sums of the stabilities of arms: on a group of sources, and beyond a control.

    M_g = sum over arms of weight * M(arm on g),   D_c = M_target - M_c

An arm by itself is the sum of one with weight 1; a difference of arms has weights that sum to zero. Arms of one
setting share their seeds on a source and on its Gaussian twin, so that a seed is deleted from all terms at once; of
random-weight models, each one has one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from husai.statistics.estimate import Estimate
from husai.statistics.intervals import (
    Terms,
    cross_group_contrast,
    independent_difference,
    pair_contrast,
    unit_mean,
)
from husai.studies.plan import RANDOM_MODEL, TARGET


class Paired(Protocol):
    """An arm of which pairs of seeds have been measured."""

    def members(self, group: str) -> list[str]: ...

    def labels(self, group: str) -> list[int] | None: ...

    def matrix(self, source: str, population: str = "alive", half: bool = False) -> np.ndarray: ...


Parts = Sequence[tuple[float, Paired]]


def stability_on(parts: Parts, group: str, population: str = "alive", half: bool = False) -> Estimate | None:
    """M on a source or on the random-weight models; None where some pair of seeds has nothing to compare."""
    one = parts[0][1]
    found = [_terms(parts, source, population, half) for source in one.members(group)]
    if any(terms is None for terms in found):
        return None
    each = [over_seeds_or_groups(terms, one.labels(group)) for terms in found if terms is not None]
    return unit_mean([e.value for e in each], unit="models") if group == RANDOM_MODEL else each[0]


def stability_beyond(parts: Parts, control: str, population: str = "alive", half: bool = False) -> Estimate | None:
    """D over a control; None where some pair of seeds has nothing to compare."""
    if control == RANDOM_MODEL:
        own, other = (stability_on(parts, group, population, half) for group in (TARGET, control))
        return None if own is None or other is None else independent_difference(own, other)
    terms = paired_terms(parts, control, population, half)
    return None if terms is None else over_seeds_or_groups(terms, parts[0][1].labels(TARGET))


def paired_terms(parts: Parts, control: str, population: str = "alive", half: bool = False) -> Terms | None:
    """The pair matrices whose weighed sum is D over a control that shares its seeds with the target."""
    own, other = (_terms(parts, source, population, half) for source in (TARGET, control))
    return None if own is None or other is None else [*own, *((-weight, matrix_SS) for weight, matrix_SS in other)]


def over_seeds_or_groups(terms: Terms, groups: Sequence[int] | None) -> Estimate:
    """A weighed sum of pair matrices over all pairs of seeds, or over the pairs of seeds of different groups."""
    return pair_contrast(terms) if groups is None else cross_group_contrast(terms, groups)


def incomparable(matrix_SS: np.ndarray) -> bool:
    """Whether some pair of seeds has nothing to compare."""
    return bool(np.isnan(matrix_SS[~np.eye(len(matrix_SS), dtype=bool)]).any())


def _terms(parts: Parts, source: str, population: str, half: bool) -> list[tuple[float, np.ndarray]] | None:
    found = [(weight, arm.matrix(source, population, half)) for weight, arm in parts]
    return None if any(incomparable(matrix_SS) for _, matrix_SS in found) else found
