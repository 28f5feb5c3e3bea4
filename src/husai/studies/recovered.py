"""Consistent, hence true? What agreement between seeds is worth where the dictionary behind the rows is known.

Seeds whose errors were independent would agree with each other less than with the planted features. Where they agree
more (.81 between seeds and .73 with the truth was published as a success), they share their errors: they found the
same thing, and it was not what was planted. No words here say that features are true; numbers say how far they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from husai.statistics.estimate import show
from husai.store.record import Measurement, RunRecord

BETWEEN, TO_TRUTH = "mcc_signed", "matched_to_truth"


@dataclass(frozen=True)
class Recovered:
    """Agreement between seeds and with the planted features, both over alive latents that were matched.

    `shared_errors`: the lower bound of the first is above the upper bound of the second; None without intervals.
    """

    between: Measurement
    to_truth: Measurement
    shared_errors: bool | None

    @property
    def words(self) -> str:
        """One sentence."""
        head = f"seeds agree with each other at {_shown(self.between)}, with the planted features at "
        return f"{head}{_shown(self.to_truth)}: {_MEANS[self.shared_errors]}"


_MEANS = {
    True: "they agree on features that were not planted, so that their agreement does not show that these are right",
    False: "their agreement is not shown to be more than that with the planted features",
    None: "too few seeds to tell whether they share errors",
}


def recovered(measured: RunRecord) -> Recovered | None:
    """From the record of a measure node; None where the truth is not known, or nothing was alive."""
    between, to_truth = (
        next((m for m in measured.measurements if m.name == name and m.scope == scope and m.value is not None), None)
        for name, scope in ((BETWEEN, {"population": "alive"}), (TO_TRUTH, {}))
    )
    if between is None or to_truth is None:
        return None
    return Recovered(between, to_truth, _above(between, to_truth))


def _above(a: Measurement, b: Measurement) -> bool | None:
    """Whether all of one interval is above the other."""
    low, high = a.interval.low if a.interval else None, b.interval.high if b.interval else None
    return None if low is None or high is None else low > high


def _shown(m: Measurement) -> str:
    bounds = m.shown_interval
    if m.value is None or bounds is None or bounds.low is None or bounds.high is None:
        return show(m.value or 0.0)
    return f"{show(m.value)} ({show(bounds.low)} to {show(bounds.high)})"
