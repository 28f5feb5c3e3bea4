"""A published claim, what its replay and its right reading gave, and the state that follows from the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import stats

from husai.statistics.decision import call
from husai.statistics.estimate import Estimate, show
from husai.store.record import Measurement, RunRecord
from husai.store.tensors import load_arrays
from husai.studies.measured import measured, single
from husai.studies.node import Node
from husai.studies.replays.bench import Bench, Trained

NOT_REPRODUCED = "not reproduced"
FIGURE, MECHANISM = "reproduced", "mechanism reproduced"  # the published figure came back; or only what made it
OVERTURNED, STANDS = " and overturned", " and it stands"
UNDERTRAINED, UNDECIDED = ", right reading undertrained", ", right reading undecided"
STATES = (
    *(how + end for end in (OVERTURNED, STANDS, UNDERTRAINED, UNDECIDED) for how in (FIGURE, MECHANISM)),
    NOT_REPRODUCED,
)
CLAIMED, REPRODUCED, TRUE = "claimed", "reproduced", "true"
Column = Literal["claimed", "reproduced", "true"]
PUBLISHED = "a published figure: no interval that could be used was given"


@dataclass(frozen=True)
class Figure:
    """A number of one column: what it is, and the number."""

    what: str
    number: Estimate | float | None
    unit: str
    why: str = ""
    null: str = ""

    @property
    def value(self) -> float:
        """The plain number; NaN where there is none."""
        if self.number is None:
            return math.nan
        return self.number.value if isinstance(self.number, Estimate) else self.number

    def words(self) -> str:
        """The number, with its interval where it has one."""
        if self.number is None or math.isnan(self.value):
            return "missing"
        bounded = isinstance(self.number, Estimate) and self.number.bounded
        return self.number.words() if isinstance(self.number, Estimate) and bounded else show(self.value)

    def measurement(self, claim: str, column: Column) -> Measurement:
        """For the record."""
        scope = {"claim": claim, "what": self.what}
        if isinstance(self.number, Estimate) and math.isfinite(self.number.value):
            return measured(column, self.number, self.unit, scope, null=self.null)
        why = self.why or (PUBLISHED if column == CLAIMED else "one number, no sample")
        return single(column, self.value, self.unit, scope, why, null=self.null)


@dataclass(frozen=True)
class Check:
    """One condition on a number: `value` must be `side` `bound`; a number that is missing (NaN) never holds."""

    what: str
    value: float
    side: Literal["at least", "at most"]
    bound: float
    published: bool = False  # closeness to a published figure: asked only at the published sizes

    @property
    def missing(self) -> bool:
        """Whether there is no number."""
        return math.isnan(self.value)

    @property
    def holds(self) -> bool:
        """Whether it is met."""
        return self.value >= self.bound if self.side == "at least" else self.value <= self.bound

    def words(self) -> str:
        """With its numbers."""
        found = "missing" if self.missing else show(self.value)
        return f"{self.what}: {found}, asked for {self.side} {show(self.bound)}: {'yes' if self.holds else 'no'}"


def low(e: Estimate) -> float:
    """Lower bound; NaN where there is no interval."""
    return math.nan if e.low is None else e.low


def high(e: Estimate) -> float:
    """Upper bound; NaN where there is no interval."""
    return math.nan if e.high is None else e.high


def settled(what: str, change: Estimate, margin: float) -> Check:
    """Whether both 95 % bounds of a change from half of the steps lie within half the margin."""
    bound = float(np.max(np.abs([low(change), high(change)])))
    return Check(f"largest bound of the change from half of the steps, {what}", bound, "at most", margin / 2)


def against_controls(what: str, beyond: Mapping[str, Estimate], margin: float) -> tuple[Check, Check]:
    """By the rule of verdicts: what overturns (not beyond some control), and what upholds (beyond every one)."""
    calls = {name: call(D, margin)[0] for name, D in beyond.items()}
    said = list(calls.values())
    each = ", ".join(f"{name}: {c}" for name, c in calls.items())
    return (
        Check(f"number of comparisons that show {what} not beyond {show(margin)} ({each})",
              said.count("not beyond"), "at least", 1),
        Check(f"number of comparisons that show {what} beyond {show(margin)} ({each})",
              said.count("beyond"), "at least", len(said)),
    )  # fmt: skip


def near(what: str, value: float, wanted: float, within: float) -> Check:
    """Whether a number is within a distance of the published one."""
    return Check(
        f"distance of {what} from the published {show(wanted)}", abs(value - wanted), "at most", within, published=True
    )


@dataclass(frozen=True)
class Reading:
    """The two columns beside the claim, and what decides.

    All of `replayed` must hold for a replay; with a closeness to a published figure among them it is the figure that
    is reproduced, else the mechanism. All of `settled` must hold before the right reading may decide anything; then all
    of `against` overturn the claim. Where they do not, it stands only if all of `upheld` hold and no number is missing.
    """

    reproduced: tuple[Figure, ...]
    true: tuple[Figure, ...]
    replayed: tuple[Check, ...]
    against: tuple[Check, ...]
    upheld: tuple[Check, ...] = ()
    settled: tuple[Check, ...] = ()

    def at(self, published: bool) -> Reading:
        """With the checks that are asked at this scale."""
        asked = tuple(check for check in self.replayed if published or not check.published)
        return replace(self, replayed=asked)

    @property
    def state(self) -> str:
        """What follows from the checks; without any there is no replay."""
        if not self.replayed or not all(check.holds for check in self.replayed):
            return NOT_REPRODUCED
        how = FIGURE if any(check.published for check in self.replayed) else MECHANISM
        return how + self._right()

    def _right(self) -> str:
        if not all(check.holds for check in self.settled):
            return UNDERTRAINED
        if all(check.holds for check in self.against):
            return OVERTURNED
        known = not any(check.missing for check in self.against)
        return STANDS if known and all(check.holds for check in self.upheld) else UNDECIDED


@dataclass(frozen=True)
class Found:
    """Finished nodes: their records, and the folders in which their files are."""

    bench: Bench
    records: Mapping[str, RunRecord]
    folders: Mapping[str, Path]

    def record(self, node: Node) -> RunRecord:
        """Record of a node."""
        return self.records[node.id]

    def value(self, node: Node, name: str, **scope: str) -> float:
        """A measured number; NaN where it is missing."""
        found = self.record(node).get(name, **scope).value
        return math.nan if found is None else found

    def arrays(self, node: Node, name: str) -> Mapping[str, np.ndarray]:
        """A tensor file of a node."""
        return load_arrays(self.folders[node.id] / name)

    def pairs(self, trained: Trained, metric: str = "mean_max_cos", population: str = "all") -> np.ndarray:
        """Matrix [S, S] of a metric."""
        return self.arrays(trained.measure, "pairs.safetensors")[f"{metric}|{population}"]

    def estimate(self, node: Node, name: str) -> Estimate:
        """A mean over units as it was measured; its standard error is read back from its t interval."""
        m = self.record(node).get(name)
        value, n, i = math.nan if m.value is None else m.value, m.n or 0, m.interval
        if i is None or i.low is None or i.high is None or n < 2:
            return Estimate(value, None, None, 0.95, "mean", n, m.n_unit, None, None, m.no_interval or m.reason)
        se = (i.high - value) / float(stats.t.isf((1 - i.level) / 2, n - 1))
        return Estimate(value, i.low, i.high, i.level, i.method, n, m.n_unit, se, n - 1)

    def ev(self, trained: Trained) -> Estimate:
        """Mean explained variance over seeds."""
        return self.estimate(trained.measure, "explained_variance")


@dataclass(frozen=True)
class Claim:
    """What was published (figures and where), why the number arose, the nodes it takes and how they are read."""

    id: str
    title: str
    source: str
    claimed: tuple[Figure, ...]
    why: str
    nodes: Callable[[Bench], list[Node]]
    read: Callable[[Found], Reading]


def measurements(claim: Claim, found: Reading) -> list[Measurement]:
    """All three columns."""
    columns: tuple[tuple[Column, tuple[Figure, ...]], ...] = (
        ("claimed", claim.claimed), ("reproduced", found.reproduced), ("true", found.true),
    )  # fmt: skip
    return [figure.measurement(claim.id, column) for column, figures in columns for figure in figures]


def facts(claim: Claim, found: Reading) -> dict[str, Any]:
    """Everything that is not a number, with the sentence and the checks that decided."""
    return {
        "claim": claim.id,
        "title": claim.title,
        "source": claim.source,
        "why": claim.why,
        "state": found.state,
        "words": words(claim, found),
        "replayed": [check.words() for check in found.replayed],
        "against": [check.words() for check in found.against],
        "upheld": [check.words() for check in found.upheld],
        "settled": [check.words() for check in found.settled],
    }


def words(claim: Claim, found: Reading) -> str:
    """The claim in one sentence, made from its numbers."""
    said = [f"claimed {_shown(claim.claimed)}"]
    if found.state == NOT_REPRODUCED:
        missed = "; ".join(check.words() for check in found.replayed if not check.holds) or "nothing was checked"
        return f"{NOT_REPRODUCED}: {said[0]}; the replay gave {_shown(found.reproduced)} ({missed})"
    said += [f"the replay gave {_shown(found.reproduced)}", f"read rightly: {_shown(found.true)}"]
    said += [check.words() for check in found.settled if not check.holds]
    return f"{found.state}: {'; '.join(said)}"


def _shown(figures: tuple[Figure, ...]) -> str:
    return ", ".join(f"{f.what} {f.words()}" for f in figures)
