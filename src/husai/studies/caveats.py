"""What makes the statistic of an arm mean less than it seems: dictionaries collapsed or mostly dead, unequal training.

M is mcc_signed over alive latents. Dictionaries that all collapsed agree whatever they hold, so that M is too high;
a single one among sound ones finds no partners, so that M is too low. Where most latents are dead, M speaks of the few
that fire. Which way this moves D depends on where the arm stands in it: a sentence beside the verdict says so. A
collapsed arm on the target leaves nothing to judge and blocks the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from husai.statistics.estimate import show
from husai.store.record import RunRecord
from husai.studies.plan import (
    GAUSSIAN,
    GAUSSIAN_2,
    PLANTED,
    PLANTED_GAUSSIAN,
    RANDOM_MODEL,
    RANDOM_MODEL_PREFIX,
    TARGET,
    Plan,
)

ALIVE_SHARE = 0.5  # below it, most of the dictionary takes no part in M
NULL = ("D against it is too high: a weaker null", "D against it is too low: a stricter null")
# What follows where the D that a source enters is too high, and where it is too low; {a} is arm a.
FOLLOWS = {
    TARGET: ("every D is too high, in favour of {a}", "every D is too low, to the cost of {a}"),
    GAUSSIAN: NULL,
    RANDOM_MODEL: NULL,
    GAUSSIAN_2: ("the negative control passes less easily", "the negative control passes more easily"),
    PLANTED: ("the positive control passes more easily", "the positive control passes less easily"),
    PLANTED_GAUSSIAN: ("the positive control passes more easily", "the positive control passes less easily"),
}
ADDED = (TARGET, PLANTED)  # here M of arm a enters D with a plus, on all controls with a minus; arm b the other way


@dataclass(frozen=True)
class Condition:
    """What the records say of the dictionaries of one arm on one source (random models together)."""

    dictionaries: int
    collapsed: int
    own_neighbour: float | None
    alive_share: float | None


@dataclass(frozen=True)
class Caveat:
    """One sentence beside the verdict; `blocks` where there can be none."""

    text: str
    blocks: bool = False


def conditions(plan: Plan, records: Mapping[str, RunRecord]) -> dict[tuple[str, str], Condition]:
    """Condition of every arm on every source at the final budget."""
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for (source, arm), node in plan.final.items():
        group = RANDOM_MODEL if source.startswith(RANDOM_MODEL_PREFIX) else source
        found.setdefault((group, arm), []).append(records[node.id])
    return {key: _condition(measured) for key, measured in found.items()}


def _condition(records: list[RunRecord]) -> Condition:
    dead = _mean([r.get("dead_share").value for r in records])
    return Condition(
        dictionaries=sum(len(r.seeds["seeds"]) for r in records),
        collapsed=sum(len(r.facts["collapsed_seeds"]) for r in records),
        own_neighbour=_mean([r.get("own_nearest_neighbour", population="alive").value for r in records]),
        alive_share=None if dead is None else 1 - dead,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def unequal_budgets(budgets: Mapping[str, int]) -> list[Caveat]:
    """Arms that converged at different budgets were not trained equally long, on the target and on its controls."""
    if len(set(budgets.values())) == 1:
        return []
    each = ", ".join(f"{arm} {steps}" for arm, steps in budgets.items())
    return [Caveat(f"the arms were trained for different numbers of steps, each until it had converged: {each}")]


def caveats(source: str, arm: str, arms: tuple[str, str], found: Condition, alive: float, every: float) -> list[Caveat]:
    """What must be said of one arm on one source; `alive` and `every` are its M over alive and over all latents."""
    made = []
    if found.collapsed:
        said, too_high = _collapsed(found)
        text = said if too_high is None else f"{said}, and {_follows(source, arm, arms, too_high)}"
        made.append(Caveat(f"{source} {arm}: {text}", blocks=source == TARGET))
    if found.alive_share is not None and found.alive_share < ALIVE_SHARE:
        up = alive > every
        share = f"only {show(100 * found.alive_share)} % of its latents are alive"
        moved = f"{'raises' if up else 'lowers'} it from {show(every)} to {show(alive)}"
        text = f"{share}; M counts these alone, which {moved}, and {_follows(source, arm, arms, up)}"
        made.append(Caveat(f"{source} {arm}: {text}"))
    return made


def _collapsed(found: Condition) -> tuple[str, bool | None]:
    """How many and how far, and whether M is too high; None where that cannot be told."""
    n, c = found.dictionaries, found.collapsed
    own = "" if found.own_neighbour is None else f" (mean own nearest-neighbour cosine {show(found.own_neighbour)})"
    head = f"{c} of {n} dictionaries collapsed: most latents have a near copy in the same dictionary{own}"
    if c == n:
        return f"{head}; such dictionaries agree whatever they hold, so M is too high", True
    if c == 1:
        return f"{head}; it finds no partners in the others, so M is too low", False
    return f"{head}; they agree with each other and with no other, so M errs in a direction that cannot be told", None


def _follows(source: str, arm: str, arms: tuple[str, str], too_high: bool) -> str:
    """What a wrong M of `arm` on `source` does to the D that it enters."""
    high, low = FOLLOWS[source]
    plus = (source in ADDED) == (arm == arms[0])
    return (high if too_high == plus else low).format(a=arms[0])
