"""Converged: training twice as long changes nothing that matters (definitions, section 3).

Compared are two complete trainings, with T/2 and with T steps, each with the learning rate decayed to zero. An arm that
has not converged at the cap is marked and takes part in no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from husai.errors import UserError
from husai.statistics.estimate import MIN_UNITS, Estimate, at_level, show, too_few

EV_TOLERANCE = 0.01
UNDERTRAINED = "undertrained"
UNCHECKED = "of unknown convergence"


@dataclass(frozen=True)
class Check:
    """One check: what was required, what was found (with its numbers), and whether it holds."""

    name: str
    holds: bool
    words: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Convergence:
    """The three checks; `converged` only if all of them hold. `too_few` says that no number of steps could show it."""

    steps_half: int
    steps_full: int
    verdict: Check
    statistic: Check
    explained_variance: Check
    too_few: str = ""

    @property
    def converged(self) -> bool:
        """Whether all three checks hold."""
        return all(c.holds for c in self.checks)

    @property
    def checks(self) -> tuple[Check, Check, Check]:
        """Verdict, statistic, explained variance."""
        return self.verdict, self.statistic, self.explained_variance

    def words(self) -> str:
        """One sentence with the numbers of every check."""
        head = "converged" if self.converged else UNCHECKED if self.too_few else UNDERTRAINED
        steps = f"{self.steps_half} against {self.steps_full} steps"
        return f"{head} ({steps}): " + "; ".join(c.words for c in self.checks) + "."

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict of every field and the outcome."""
        return asdict(self) | {"converged": self.converged}


def convergence(
    *,
    steps_half: int,
    steps_full: int,
    verdict_half: str,
    verdict_full: str,
    change: Estimate,
    ev_half: float,
    ev_full: float,
    margin: float,
) -> Convergence:
    """Check whether T/2 = `steps_half` and T = `steps_full` steps agree.

    `change` is the statistic at T minus the statistic at T/2 (same seeds: jackknife of the difference); both bounds of
    its two-sided 95 % interval must lie within half the margin of 0. The verdicts are those of `decision.provisional`;
    "no verdict" on either side is not agreement.
    Explained variances are means over the arm's seeds.

    Raises:
        UserError: T is not twice T/2, or the margin is not positive.
    """
    if steps_full != 2 * steps_half:
        raise UserError(f"convergence compares T/2 with T steps; given: {steps_half} and {steps_full}")
    if not margin > 0:
        raise UserError(f"the margin is {margin}: fix one above 0 beforehand")
    return Convergence(
        steps_half,
        steps_full,
        _verdict(verdict_half, verdict_full),
        _statistic(change, margin / 2),
        _ev(ev_half, ev_full),
        too_few(change.n, change.n_unit) if change.n < MIN_UNITS else "",
    )


def _verdict(half: str, full: str) -> Check:
    if "no verdict" in (half, full):
        return Check("verdict", False, f"no verdict to compare ('{half}' at T/2, '{full}' at T)")
    if half != full:
        return Check("verdict", False, f"the verdict changed from '{half}' to '{full}'")
    return Check("verdict", True, f"the verdict stayed '{full}'")


def _statistic(change: Estimate, limit: float) -> Check:
    interval = at_level(change, 0.95)
    if interval.low is None or interval.high is None:
        return Check("statistic", False, f"the change of the statistic has no interval ({interval.note})", None, limit)
    bound = max(abs(interval.low), abs(interval.high))
    holds = bound < limit
    where = "within" if holds else "not within"
    words = f"the statistic changed by {interval.words()}, {where} half the margin {show(limit)}"
    return Check("statistic", holds, words, bound, limit)


def _ev(half: float, full: float) -> Check:
    moved = abs(full - half)
    holds = moved < EV_TOLERANCE
    words = (
        f"explained variance moved from {show(half)} to {show(full)}, "
        f"{'less' if holds else 'not less'} than {show(EV_TOLERANCE)}"
    )
    return Check("explained variance", holds, words, moved if moved == moved else None, EV_TOLERANCE)


def undertrained(converged: Mapping[str, bool]) -> str:
    """`undertrained on` every source where an arm has not converged; empty where it has on all."""
    early = [name for name, ok in converged.items() if not ok]
    return f"{UNDERTRAINED} on {', '.join(early)}" if early else ""


def not_converged(checks: Mapping[str, Convergence]) -> str:
    """Where an arm is undertrained, or cannot be seen to be or not; empty where it has converged on every source."""
    few = {name: check.too_few for name, check in checks.items() if check.too_few}
    known = {name: check.converged for name, check in checks.items() if name not in few}
    each = [f"{UNCHECKED} on {name}: {why}" for name, why in few.items()]
    return "; ".join(text for text in (undertrained(known), *each) if text)


def converged_on(checks: Mapping[str, Convergence]) -> dict[str, bool]:
    """By source, whether an arm has converged."""
    return {name: check.converged for name, check in checks.items()}
