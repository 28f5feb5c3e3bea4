"""What is known of a weighted sum of the stabilities of some arms of one setting: on its source, beyond each control.

    M = sum over arms of weight * M(arm),   D_c = M(target) - M(control c)        (weights sum to zero)

Arms of one setting share their seeds on a source and on its Gaussian twin, so that a seed is deleted from all of them
at once; of random-weight models, each one has one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from husai.statistics.decision import Contrast
from husai.statistics.estimate import Estimate
from husai.statistics.intervals import independent_difference, unit_mean
from husai.studies.plan import RANDOM_MODEL, TARGET
from husai.studies.survey_evidence import ArmEvidence, incomparable, over_seeds_or_groups

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Weighed:
    """Arms of one setting by name, each with its weight."""

    arms: Mapping[str, ArmEvidence]
    weights: Weights

    @property
    def parts(self) -> list[tuple[float, ArmEvidence]]:
        """Weight and evidence of the arms that have one."""
        return [(weight, self.arms[name]) for name, weight in self.weights.items()]

    @property
    def one(self) -> ArmEvidence:
        """Any of them: what they share is read off it."""
        return self.parts[0][1]

    def on(self, group: str, population: str = "alive", half: bool = False) -> Estimate | None:
        """M on a source or on the random-weight models; None where some pair of seeds has nothing to compare."""
        found = [self._terms(source, population, half) for source in self.one.members(group)]
        if any(terms is None for terms in found):
            return None
        of = self.one.labels(group)
        each = [over_seeds_or_groups(terms, of) for terms in found if terms is not None]
        return unit_mean([e.value for e in each], unit="models") if group == RANDOM_MODEL else each[0]

    def beyond(self, control: str, population: str = "alive", half: bool = False) -> Estimate | None:
        """D over a control."""
        if control == RANDOM_MODEL:
            own, other = self.on(TARGET, population, half), self.on(control, population, half)
            return None if own is None or other is None else independent_difference(own, other)
        own, other = self._terms(TARGET, population, half), self._terms(control, population, half)
        if own is None or other is None:
            return None
        terms = [*own, *((-weight, matrix) for weight, matrix in other)]
        return over_seeds_or_groups(terms, self.one.labels(TARGET))

    def contrasts(self, half: bool = False) -> dict[str, Contrast] | None:
        """Over alive and over all latents: on the target, and beyond each control; None where one is missing."""
        found = {}
        for name in (TARGET, *self.one.controls):
            make = self.on if name == TARGET else self.beyond
            alive, every = make(name, "alive", half), make(name, "all", half)
            if alive is None or every is None:
                return None
            found[name] = Contrast(name, alive, every)
        return found

    def explained_variance(self) -> Estimate | None:
        """The same sum of explained variances on the source, by seed or by group; None where one is missing."""
        total, unit = np.zeros(()), "seeds"
        for weight, arm in self.parts:
            values, unit = arm.by_unit("explained_variance")
            if values is None:
                return None
            total = total + weight * np.array(values)
        return unit_mean(total, unit=unit)

    def _terms(self, source: str, population: str, half: bool) -> list[tuple[float, np.ndarray]] | None:
        found = [(weight, arm.matrix(source, population, half)) for weight, arm in self.parts]
        return None if any(incomparable(matrix) for _, matrix in found) else found
