"""Two groups of SAEs that exist already: do they differ in stability? Never more than that is said.

Own seeds: `SE^2 = V_A + V_B` with Welch degrees of freedom; the same seeds in the same order: jackknife of the
difference (definitions, section 3). Groups that are not matched (another k, or L0 apart by more than 5 %) get no
difference and no ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from husai.errors import UserError
from husai.saes.config import k_label
from husai.saes.formats.load import Loaded
from husai.stability.pairwise import Population
from husai.statistics.estimate import Estimate, percent, show
from husai.statistics.intervals import independent_difference, pair_mean, pair_mean_difference
from husai.store.record import Measurement
from husai.studies.existing.group import Group
from husai.studies.measured import measured, single

PRIMARY = "mcc_signed"
L0_TOLERANCE = 0.05
State = Literal["differ", "no difference shown", "too few seeds", "unmatched", "no statement"]


@dataclass(frozen=True)
class Side:
    """One group: which SAEs, what was measured of them, and the same of its trained null, if there is one."""

    loaded: Sequence[Loaded]
    group: Group
    null: Group | None = None
    null_id: str = ""

    @property
    def l0(self) -> float | None:
        """Mean over the SAEs, on activations only."""
        return float(np.mean([f.l0 for f in self.group.fidelities])) if self.group.fidelities else None

    @property
    def k(self) -> set[str]:
        """The k of its SAEs (`na` for one without)."""
        return {k_label(one.sae.config) for one in self.loaded}


@dataclass(frozen=True)
class Contrast:
    """What may be said of A - B. `reasons` say why nothing is; `differences` then are missing and say so too."""

    state: State
    words: str
    reasons: tuple[str, ...]
    differences: tuple[Measurement, ...]
    beyond: tuple[Measurement, ...]


def contrast(a: Side, b: Side, same_seeds: bool) -> Contrast:
    """Difference of every metric, and a sentence about the primary one.

    Raises:
        UserError: the same seeds were asked for, and the groups are not of equal size or have other seeds.
    """
    if same_seeds:
        check_same_seeds(a.loaded, b.loaded)
    unmatched = unmatched_in(a, b)
    population: Population = "alive" if "alive" in a.group.populations else "all"
    keys = [key for key in a.group.pairs.values if key in b.group.pairs.values and key[1] in a.group.populations]
    differences = [m for key in keys for m in _differences(a.group, b.group, *key, same_seeds, unmatched)]
    beyond = [] if unmatched else [_beyond(a, b, *key, same_seeds) for key in keys]
    reasons = unmatched + _against(a, b, population, same_seeds)
    main = None if reasons else _difference(a.group, b.group, PRIMARY, population, same_seeds)
    state = "unmatched" if unmatched else _state(main)
    words = f"{_words(state, main, population, reasons)} {_control(a, b, population, same_seeds, state)}"
    return Contrast(state, words, tuple(reasons), tuple(differences), tuple(m for m in beyond if m is not None))


def unmatched_in(a: Side, b: Side) -> list[str]:
    """Why the groups are not matched: what is not known to be equal never counts as equal."""
    both_have_k = "na" not in a.k | b.k
    if both_have_k and (a.k != b.k or len(a.k) > 1):
        return [f"k differs ({', '.join(sorted(a.k))} against {', '.join(sorted(b.k))})"]
    if a.l0 is None or b.l0 is None:
        return [] if both_have_k else ["their L0 is not known without --activations, and not all have a k"]
    if abs(a.l0 - b.l0) > L0_TOLERANCE * max(a.l0, b.l0):
        return [f"L0 differs by more than {percent(L0_TOLERANCE)} ({show(a.l0)} against {show(b.l0)})"]
    return []


def check_same_seeds(a: Sequence[Loaded], b: Sequence[Loaded]) -> None:
    """Whether SAEs can be paired in order.

    Raises:
        UserError: not as many of each, or other seeds where their numbers are known.
    """
    if len(a) != len(b):
        counts = f"{len(a)} and {len(b)}"
        raise UserError(f"--same-seeds pairs SAEs in order, and there are {counts}: give as many of each, or drop it")
    pairs = [(x.seed, y.seed) for x, y in zip(a, b, strict=True)]
    odd = next(((x, y) for x, y in pairs if x is not None and y is not None and x != y), None)
    if odd is not None:
        raise UserError(f"--same-seeds pairs seed {odd[0]} with seed {odd[1]}: order them alike, or leave it out")


def _difference(a: Group, b: Group, metric: str, population: Population, same: bool, normal: bool = False) -> Estimate:
    A, B = (g.pairs.normalised(metric, population) if normal else g.pairs.matrix(metric, population) for g in (a, b))
    return pair_mean_difference(A, B) if same else independent_difference(pair_mean(A), pair_mean(B))


def comparable(*groups: Group, metric: str, population: Population) -> bool:
    """Whether every pair has a value."""
    matrices = [g.pairs.matrix(metric, population) for g in groups]
    return all(np.isfinite(m[~np.eye(len(m), dtype=bool)]).all() for m in matrices)


def _differences(
    a: Group, b: Group, metric: str, population: Population, same: bool, unmatched: list[str]
) -> list[Measurement]:
    """A - B of one metric, raw and, where it has a floor, of what is above it."""
    floored = all(g.pairs.floors(metric, population) is not None for g in (a, b))
    unit = "share of features" if metric.startswith("shared_at") else "cosine"
    made = []
    for suffix, of in [("", unit)] + ([(".normalised", "(v - floor)/(1 - floor)")] if floored else []):
        scope = {"metric": metric + suffix, "population": population}
        if unmatched:
            why = f"unmatched: {'; '.join(unmatched)}"
            made.append(single("difference", None, of, scope, why))
        elif not comparable(a, b, metric=metric, population=population):
            made.append(single("difference", None, of, scope, "some pair of SAEs has nothing to compare"))
        else:
            made.append(measured("difference", _difference(a, b, metric, population, same, bool(suffix)), of, scope))
    return made


def _beyond(a: Side, b: Side, metric: str, population: Population, same: bool) -> Measurement | None:
    """`(A - B) - (A_null - B_null)`."""
    found = _excess(a, b, metric, population, same)
    scope = {"metric": metric, "population": population, "control": "gaussian"}
    unit = "share of features" if metric.startswith("shared_at") else "cosine"
    return None if found is None else measured("excess", found, unit, scope, null="trained on the Gaussian twin")


def _excess(a: Side, b: Side, metric: str, population: Population, same: bool) -> Estimate | None:
    """The nulls have seeds of their own, the same for both groups where these are of one size."""
    if a.null is None or b.null is None or a.null_id == b.null_id:
        return None
    if not comparable(a.group, b.group, a.null, b.null, metric=metric, population=population):
        return None
    null = _difference(a.null, b.null, metric, population, len(a.loaded) == len(b.loaded))
    return independent_difference(_difference(a.group, b.group, metric, population, same), null)


def _against(a: Side, b: Side, population: Population, same: bool) -> list[str]:
    """What forbids a sentence although the groups are matched."""
    found = [
        f"{len(side.group.pairs.collapsed)} of {len(side.loaded)} dictionaries of {name} collapsed"
        for name, side in (("A", a), ("B", b))
        if side.group.pairs.collapsed
    ]
    if not comparable(a.group, b.group, metric=PRIMARY, population=population):
        return [*found, "some pair of SAEs has nothing to compare"]
    values = [_difference(a.group, b.group, PRIMARY, p, same).value for p in a.group.populations]
    if min(values) * max(values) < 0:
        found.append(f"A - B has opposite signs over all ({show(values[0])}) and alive latents ({show(values[1])})")
    return found


def _state(main: Estimate | None) -> State:
    if main is None:
        return "no statement"
    if main.low is None or main.high is None:
        return "too few seeds"
    return "differ" if main.low > 0 or main.high < 0 else "no difference shown"


def _words(state: State, main: Estimate | None, population: Population, reasons: list[str]) -> str:
    if main is None:
        if state == "unmatched":
            return f"Unmatched: {'; '.join(reasons)}. The groups are not ranked."
        return f"No statement: {'; '.join(reasons)}."
    what = f"{PRIMARY} over {population} latents"
    if state == "too few seeds":
        return f"{main.note.capitalize()} to say whether A and B differ in {what}: A - B = {show(main.value)}."
    head = "A and B differ" if state == "differ" else "A and B are not shown to differ"
    return f"{head} in {what}: A - B = {main.words()}."


def _control(a: Side, b: Side, population: Population, same: bool, state: State) -> str:
    """Whether a control was applied, and what it says."""
    if a.null is None or b.null is None:
        return "No control was applied: activations alone can make dictionaries agree (--null gaussian)."
    if a.null_id == b.null_id:
        return "Both groups have one and the same Gaussian null, which cancels: it is no control of their difference."
    found = _excess(a, b, PRIMARY, population, same)
    if found is None:
        return "Against the Gaussian null there is nothing to compare."
    if state == "unmatched":
        return "A Gaussian null was trained for each group; it cannot match them to each other."
    head = "Less the same difference on the Gaussian twin"
    if found.low is None or found.high is None:
        return f"{head}: {show(found.value)}, {found.note}."
    verb = "a difference remains" if found.low > 0 or found.high < 0 else "no difference is shown"
    return f"{head}, {verb}: {found.words()}."
