"""From an estimate to a measurement of a record."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from husai.statistics.estimate import Estimate
from husai.store.record import Interval, Measurement


def measured(
    name: str,
    estimate: Estimate,
    unit: str,
    scope: dict[str, str],
    *,
    higher_is_better: bool | None = None,
    null: str = "",
    artefacts: tuple[str, ...] = (),
) -> Measurement:
    """Value, n and interval of an estimate; without an interval, the reason that the estimate gives."""
    interval = None
    if estimate.low is not None or estimate.high is not None:
        interval = Interval(low=estimate.low, high=estimate.high, level=estimate.level, method=estimate.method)
    return Measurement(
        name=name,
        value=estimate.value,
        unit=unit,
        higher_is_better=higher_is_better,
        n=estimate.n,
        n_unit=estimate.n_unit,
        cluster=re.sub(r"\d+ ", "", estimate.n_unit),  # the kinds of unit, without the count of the second
        interval=interval,
        no_interval="" if interval else estimate.note,
        null=null,
        scope=scope,
        artefacts=artefacts,
    )


def single(name: str, value: float | None, unit: str, scope: dict[str, str], why: str, **more: object) -> Measurement:
    """A number without an interval and why it has none; a value that is None or not finite is missing, and says so."""
    known = value is not None and math.isfinite(value)
    data = {
        "name": name,
        "value": float(value) if known and value is not None else None,
        "reason": "" if known else why or "not defined here",
        "unit": unit,
        "scope": scope,
        "no_interval": why,
        **more,
    }
    return Measurement.parse(data, name)


def over_pairs(
    name: str,
    matrix_SS: np.ndarray,
    make: Callable[[np.ndarray], Estimate],
    unit: str,
    scope: dict[str, str],
    **more: object,
) -> Measurement:
    """Pairwise mean with its interval; missing where some pair could not be compared."""
    off = matrix_SS[~np.eye(len(matrix_SS), dtype=bool)]
    if not np.isfinite(off).all():
        return single(name, None, unit, scope, "some pair of seeds has nothing to compare", **more)
    return measured(name, make(matrix_SS), unit, scope, **more)  # type: ignore[arg-type]
