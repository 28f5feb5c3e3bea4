"""From the measured matrices of a survey to what is known of each arm: stability beyond controls, convergence, L0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from husai.statistics.convergence import Convergence, convergence
from husai.statistics.decision import call
from husai.statistics.estimate import Estimate, at_level, show
from husai.statistics.intervals import unit_mean
from husai.statistics.preconditions import opposite
from husai.store.record import RunRecord
from husai.store.tensors import Arrays, load_arrays
from husai.studies.coupled import labels
from husai.studies.evidence import STATISTIC
from husai.studies.node import Node
from husai.studies.plan import GAUSSIAN, RANDOM_MODEL, TARGET, random_model
from husai.studies.surveys.plan import SurveyPlan, seeds_of
from husai.studies.surveys.survey import MATCHED, Setting, SurveyArm
from husai.studies.surveys.weighed import over_seeds_or_groups, stability_beyond, stability_on
from husai.training.coupling.swamped import MARK

COLLAPSED, OPPOSITE = "collapsed", "opposite signs"  # how the words of a flaw begin
NO_STATEMENT = "no statement"
NOTHING = "some pair of seeds has nothing to compare"


@dataclass(frozen=True)
class ArmEvidence:
    """One arm of one setting: everything is read from the records and files of its measure nodes."""

    plan: SurveyPlan
    setting: Setting
    arm: SurveyArm
    folders: Mapping[str, Path]
    records: Mapping[str, RunRecord]

    @property
    def groups(self) -> list[str]:
        """The source, its twin, and the random-weight models as one."""
        return [TARGET, GAUSSIAN, *([RANDOM_MODEL] if self.setting.random_models else [])]

    @property
    def controls(self) -> list[str]:
        """Trained controls."""
        return self.groups[1:]

    def members(self, group: str) -> list[str]:
        """Sources of a group."""
        return [random_model(i) for i in range(self.setting.random_models)] if group == RANDOM_MODEL else [group]

    def node(self, source: str, half: bool = False) -> Node:
        """Measure node."""
        return self.plan.measure(self.setting.name, source, self.arm.name, half)

    def matrix(self, source: str, population: str = "alive", half: bool = False) -> np.ndarray:
        """Pairwise statistic [S, S]."""
        return self._pairs(self.node(source, half).id)[f"{STATISTIC}|{population}"]

    def _pairs(self, node: str) -> Arrays:
        """Matrices of a measure node: read once, asked for many times."""
        if node not in self._read:
            self._read[node] = load_arrays(self.folders[node] / "pairs.safetensors")
        return self._read[node]

    @cached_property
    def _read(self) -> dict[str, Arrays]:
        return {}

    def labels(self, group: str) -> list[int] | None:
        """The group of each seed, where the setting has groups: inside one, agreement was put in."""
        size = self.setting.group_size
        return None if size is None else labels(len(seeds_of(self.setting, self.members(group)[0])), size)

    def stability(self, group: str, population: str = "alive", half: bool = False) -> Estimate | None:
        """M of the arm on a group of sources; None where some pair of seeds has nothing to compare."""
        return stability_on([(1.0, self)], group, population, half)

    def excess(self, control: str, population: str = "alive", half: bool = False) -> Estimate | None:
        """M on the source less M on a control; seeds that both share are deleted from both at once."""
        return stability_beyond([(1.0, self)], control, population, half)

    def least_excess(self, half: bool = False) -> Estimate | None:
        """The smallest excess over the controls: what a claim has to stand on."""
        found = [self.excess(control, "alive", half) for control in self.controls]
        known = [e for e in found if e is not None]
        return min(known, key=lambda e: e.value) if len(known) == len(found) else None

    def least_bound(self) -> float | None:
        """The lowest lower 95 % bound of the excess over a control; None where one is missing."""
        lows = [None if e is None else at_level(e, 0.95).low for e in map(self.excess, self.controls)]
        known = [low for low in lows if low is not None]
        return min(known) if lows and len(known) == len(lows) else None

    def says(self, margin: float, half: bool = False) -> str:
        """Whether the arm's features come back beyond every control by the margin."""
        calls = []
        for control in self.controls:
            excess = self.excess(control, "alive", half)
            calls.append("too few units" if excess is None else call(excess, margin)[0])
        for state in ("too few units", "not beyond"):
            if state in calls:
                return NO_STATEMENT if state == "too few units" else state
        return "beyond" if set(calls) == {"beyond"} else "undecided"

    @property
    def collapsed(self) -> int:
        """How many of its dictionaries on the source have collapsed."""
        return len(self.records[self.node(TARGET).id].facts["collapsed_seeds"])

    @cached_property
    def flaws(self) -> list[str]:
        """Why nothing may be said of the arm by itself, whatever its excess: dictionaries that have collapsed agree
        with anything, and an excess whose sign is another one over all latents rests on which of them are dead."""
        found = [f"{COLLAPSED}: {self.collapsed} dictionaries"] if self.collapsed else []
        for control in self.controls:
            alive, every = self.excess(control), self.excess(control, "all")
            if alive is not None and every is not None and opposite(alive, every):
                values = f"{show(alive.value)} over alive latents and {show(every.value)} over all"
                found.append(f"{OPPOSITE}: the excess over {control} is {values}")
        return found

    @property
    def swamped(self) -> list[str]:
        """What its training on the source warned of, where the coupling drew more than the data did."""
        budget = self.plan.budgets[self.setting.name, self.arm.name]
        stack = self.plan.stacks[self.setting.name, TARGET, self.arm.name, budget]
        return [text for text in self.records[stack.id].facts["warnings"] if MARK in text]

    def mean(self, name: str, group: str, half: bool = False) -> float:
        """Mean of a measurement over the sources of a group; NaN where one misses it."""
        values = [self.records[self.node(s, half).id].get(name).value for s in self.members(group)]
        return float(np.mean([np.nan if v is None else v for v in values]))

    def by_seed(self, name: str) -> list[float | None]:
        """A measurement of each seed on the source, in the order of the seeds."""
        record = self.records[self.node(TARGET).id]
        return [m.value for m in record.measurements if m.name == name and set(m.scope) == {"seed"}]

    def by_unit(self, name: str) -> tuple[list[float] | None, str]:
        """The same of each independent unit, and what that is: seeds, or the means of groups; None where one misses."""
        values, of = self.by_seed(name), self.labels(TARGET)
        known = [v for v in values if v is not None]
        if len(known) < len(values) or not known:
            return None, "seeds"
        if of is None:
            return known, "seeds"
        return [float(np.mean([v for v, g in zip(known, of, strict=True) if g == one])) for one in set(of)], "groups"

    @cached_property
    def matched(self) -> dict[str, bool]:
        """By group: whether L0 is what was requested, within the tolerance of a match."""
        if self.arm.l0 is None:
            return dict.fromkeys(self.groups, False)
        return {g: bool(abs(self.mean("l0", g) / self.arm.l0 - 1) <= MATCHED) for g in self.groups}

    def trained(self, margin: float) -> dict[str, Convergence]:
        """Whether half the budget gives the same, by group."""
        steps = self.plan.budgets[self.setting.name, self.arm.name]
        return {
            group: convergence(
                steps_half=steps // 2,
                steps_full=steps,
                verdict_half=_comparable(self.says(margin, half=True)),
                verdict_full=_comparable(self.says(margin)),
                change=self._change(group),
                ev_half=self.mean("explained_variance", group, half=True),
                ev_full=self.mean("explained_variance", group),
                margin=margin,
            )
            for group in self.groups
        }

    def _change(self, group: str) -> Estimate:
        if self.stability(group) is None or self.stability(group, half=True) is None:
            return Estimate(float("nan"), None, None, 0.95, "none", 0, "seeds", None, None, NOTHING)
        both = [[(1.0, self.matrix(s)), (-1.0, self.matrix(s, half=True))] for s in self.members(group)]
        each = [over_seeds_or_groups(terms, self.labels(group)) for terms in both]
        return unit_mean([e.value for e in each], unit="models") if group == RANDOM_MODEL else each[0]


def _comparable(state: str) -> str:
    return "no verdict" if state == NO_STATEMENT else state
