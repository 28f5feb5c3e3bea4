"""What is known of a weighed sum of the stabilities of some arms of one setting (`weighed`): what claims stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from husai.statistics.decision import Contrast
from husai.statistics.estimate import Estimate
from husai.statistics.intervals import unit_mean
from husai.statistics.power import Needed, pair_units_needed, units_needed
from husai.studies.plan import RANDOM_MODEL, TARGET
from husai.studies.surveys.evidence import ArmEvidence
from husai.studies.surveys.weighed import paired_terms, stability_beyond, stability_on

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
        return stability_on(self.parts, group, population, half)

    def beyond(self, control: str, population: str = "alive", half: bool = False) -> Estimate | None:
        """D over a control."""
        return stability_beyond(self.parts, control, population, half)

    def to_settle(self, control: str, D: Estimate, margin: float, claims: int) -> Needed:
        """How many units would settle what D leaves undecided: from the spread of seeds and that of pairs, which is
        known where both sides have the same seeds; else from the error of D alone."""
        shared = control != RANDOM_MODEL and self.one.labels(TARGET) is None
        terms = paired_terms(self.parts, control) if shared else None
        return units_needed(D, margin, claims) if terms is None else pair_units_needed(terms, margin, claims)

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
