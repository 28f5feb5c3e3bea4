"""Claims over any of m arms: Holm's adjusted p-values with Bonferroni-t intervals (definitions, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from husai.errors import UserError
from husai.statistics.estimate import Estimate, at_level


def holm(p_values: Mapping[str, float], m: int | None = None) -> dict[str, float]:
    """Adjusted p-value of each arm, in the order given (Holm 1979). `m` is the number of claims that were open.

    Raises:
        UserError: a p-value outside [0, 1], or `m` smaller than the number of p-values.
    """
    m = _count(len(p_values), m)
    wrong = [name for name, p in p_values.items() if not 0 <= p <= 1]
    if wrong:
        raise UserError(f"the p-value of '{wrong[0]}' is {p_values[wrong[0]]}: it lies between 0 and 1")
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        running = max(running, min(1.0, (m - rank) * p_values[name]))
        adjusted[name] = running
    return {name: adjusted[name] for name in p_values}


def bonferroni_intervals(
    estimates: Mapping[str, Estimate], level: float = 0.95, m: int | None = None
) -> dict[str, Estimate]:
    """The same estimates with intervals that hold *together* at `level`: each at 1 - (1 - level) / m.

    `m` counts every arm that could have been reported, not only the ones shown. The level stored is each interval's
    own; the note names the joint one.

    Raises:
        UserError: `m` smaller than the number of estimates, or bounds that were not made from a standard error.
    """
    m = _count(len(estimates), m)
    own = 1 - (1 - level) / m
    return {name: _noted(at_level(given, own), m, level) for name, given in estimates.items()}


def _noted(given: Estimate, m: int, level: float) -> Estimate:
    note = f"Bonferroni over {m}: jointly {100 * level:.4g} %"
    return replace(given, note=f"{given.note}; {note}" if given.note else note)


def _count(given: int, m: int | None) -> int:
    if m is not None and m < given:
        raise UserError(f"m = {m} claims were open, but {given} are given: m counts all of them")
    return given if m is None else m
