"""Is arm a more stable than arm b, beyond every trained control? The rule of definitions, section 3.

`M` = alive-only mcc_signed, `D_c = (M_a - M_b)_target - (M_a - M_b)_c` for each trained control c, and a margin fixed
beforehand. *supported*: the lower 95 % bound of every D_c is above the margin (intersection-union, no correction).
*not beyond*: for some c the 90 % interval of D_c lies inside (-margin, margin), or its upper 95 % bound is below the
margin. Otherwise *undecided*.

Both bounds are those of the *two-sided* 95 % interval. The definition does not say one-sided here as it does for group
bounds, the two-sided bound is the stricter one, and with a one-sided bound the clause of equivalence would be idle (an
interval inside the margin would already have its upper bound below it).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from husai.errors import UserError
from husai.seeds import Role
from husai.statistics.estimate import MIN_UNITS, Estimate, at_level, show, too_few
from husai.statistics.preconditions import Reason, check
from husai.statistics.wording import over, what_varied

State = Literal["supported", "not beyond", "undecided", "no verdict"]
Call = Literal["beyond", "not beyond", "undecided", "too few units"]
Sanity = Literal["sane", "not sane", "not checked", "no model"]
DEFAULT_MARGIN = 0.05


@dataclass(frozen=True)
class Contrast:
    """One difference over alive latents (decides) and over all latents (must not have the opposite sign)."""

    name: str
    alive: Estimate
    all: Estimate


@dataclass(frozen=True)
class Evidence:
    """Everything the rule looks at. What is missing is said to be missing and never counts as passed.

    `target` is `M_a - M_b` on the target; `controls` are the `D_c`, `gaussian` among them (shared seeds: jackknife of
    the contrast; `random_model`: unit = model, `independent_difference`). `positive` is the D of the positive control
    against its own Gaussian twin; `negative` is the D of a Gaussian against an independent Gaussian twin.
    `converged` names every arm that enters, with True, False (the cap was reached) or None (not checked).
    `varied` are the streams that differed between seeds; `unmatched` names what else differed between the arms;
    `collapsed` are sentences about arms of the target whose dictionaries collapsed.
    `claims` counts the arms for which such a claim was open (Bonferroni when above 1).
    """

    arm_a: str
    arm_b: str
    target: Contrast
    controls: tuple[Contrast, ...]
    positive: Estimate | None
    negative: Estimate | None
    converged: Mapping[str, bool | None]
    model: Sanity
    varied: tuple[Role, ...]
    margin: float = DEFAULT_MARGIN
    unmatched: tuple[str, ...] = ()
    collapsed: tuple[str, ...] = ()
    claims: int = 1


@dataclass(frozen=True)
class ControlOutcome:
    """What the rule says against one control, with the two intervals it read."""

    control: str
    call: Call
    interval_95: Estimate
    interval_90: Estimate
    all: Estimate
    words: str


@dataclass(frozen=True)
class Decision:
    """The verdict; `blocked_by` are the controls that kept it from "supported", `reasons` why there is none."""

    state: State
    arm_a: str
    arm_b: str
    margin: float
    outcomes: tuple[ControlOutcome, ...]
    blocked_by: tuple[str, ...]
    reasons: tuple[Reason, ...]
    words: str

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict of every field."""
        return asdict(self)


def decide(evidence: Evidence) -> Decision:
    """Apply the rule.

    Raises:
        UserError: a margin that is not positive, a control named twice, or an interval that is not two-sided with a
            standard error (legacy replays take part in no verdict).
    """
    _validate(evidence)
    outcomes = tuple(_against(c, evidence) for c in evidence.controls)
    reasons = check(
        target=(evidence.target.alive, evidence.target.all),
        controls={c.name: (c.alive, c.all) for c in evidence.controls},
        positive=None if evidence.positive is None else call(evidence.positive, evidence.margin)[0],
        negative=None if evidence.negative is None else call(evidence.negative, evidence.margin)[0],
        converged=evidence.converged,
        model=evidence.model,
        unmatched=evidence.unmatched,
        collapsed=evidence.collapsed,
    )
    state: State = "no verdict" if reasons else _combine([o.call for o in outcomes])
    blocked_by = tuple(o.control for o in outcomes if o.call != "beyond")
    words = _words(state, evidence, outcomes, reasons)
    return Decision(state, evidence.arm_a, evidence.arm_b, evidence.margin, outcomes, blocked_by, reasons, words)


def provisional(evidence: Evidence) -> State:
    """What the rule says against the target's controls alone: for comparing T/2 with T steps, never for a report.

    Whether the controls of the method hold is asked once, of the final budget; a Gaussian that stays undecided must not
    make an arm look undertrained. Without enough units there is nothing to compare.
    """
    _validate(evidence)
    calls: list[Call] = [call(c.alive, evidence.margin, evidence.claims)[0] for c in evidence.controls]
    return "no verdict" if not calls or "too few units" in calls else _combine(calls)


def call(D: Estimate, margin: float, claims: int = 1) -> tuple[Call, Estimate, Estimate]:
    """The rule for one D: what it says, and its 95 % and 90 % intervals (Bonferroni over `claims`)."""
    wide, narrow = at_level(D, 1 - 0.05 / claims), at_level(D, 1 - 0.10 / claims)
    if D.n < MIN_UNITS or wide.low is None or wide.high is None or narrow.low is None or narrow.high is None:
        return "too few units", wide, narrow
    if wide.low > margin:
        return "beyond", wide, narrow
    if wide.high < margin or (narrow.low > -margin and narrow.high < margin):
        return "not beyond", wide, narrow
    return "undecided", wide, narrow


def _validate(evidence: Evidence) -> None:
    if not (math.isfinite(evidence.margin) and evidence.margin > 0):
        raise UserError(f"the margin is {evidence.margin}: fix one above 0 beforehand (default {DEFAULT_MARGIN})")
    if evidence.claims < 1:
        raise UserError("claims counts the arms for which a claim was open: at least 1")
    doubled = [name for name, n in Counter(c.name for c in evidence.controls).items() if n > 1]
    if doubled:
        raise UserError(f"the control '{doubled[0]}' is given twice")
    given = [c.alive for c in evidence.controls] + [e for e in (evidence.positive, evidence.negative) if e is not None]
    for D in given:
        if D.sided != "two" or (D.bounded and D.se is None):
            raise UserError(f"'{D.method}' takes part in no verdict: give a two-sided interval with a standard error")


def _against(control: Contrast, evidence: Evidence) -> ControlOutcome:
    said, wide, narrow = call(control.alive, evidence.margin, evidence.claims)
    words = _control_words(control, said, wide, narrow, evidence.margin)
    return ControlOutcome(control.name, said, wide, narrow, control.all, words)


def _combine(calls: list[Call]) -> State:
    if all(c == "beyond" for c in calls):
        return "supported"
    return "not beyond" if "not beyond" in calls else "undecided"


def _control_words(control: Contrast, said: Call, wide: Estimate, narrow: Estimate, margin: float) -> str:
    m = show(margin)
    if said == "too few units" or wide.low is None or wide.high is None:
        return f"against {control.name}: D = {show(wide.value)}, {wide.note or too_few(wide.n, wide.n_unit)}"
    head = f"against {control.name}: D = {wide.words()}"
    if said == "beyond":
        return f"{head}, above the margin {m}"
    if said == "undecided":
        return f"{head}, neither above nor below the margin {m}"
    why = (
        f"below the margin {m}"
        if wide.high < margin
        else f"its 90 % interval {show(narrow.low or 0.0)} to {show(narrow.high or 0.0)} inside the margin {m}"
    )
    meaning = " (not shown to be learned, which is not the same as not real)" if control.name == "random_model" else ""
    return f"{head}, {why}{meaning}"


def _words(state: State, evidence: Evidence, outcomes: tuple[ControlOutcome, ...], reasons: tuple[Reason, ...]) -> str:
    a, b = evidence.arm_a, evidence.arm_b
    heads: dict[State, str] = {
        "supported": f"{a} is more stable than {b} beyond every control",
        "not beyond": f"{a} is not more stable than {b} beyond "
        + " and ".join(o.control for o in outcomes if o.call == "not beyond"),
        "undecided": f"whether {a} is more stable than {b} beyond the controls is undecided",
        "no verdict": f"no verdict on {a} against {b}",
    }
    scope = f", {over(evidence.varied)} ({what_varied(evidence.varied)})"
    if reasons:
        return f"{heads[state]}: " + "; ".join(r.text for r in reasons) + "."
    return f"{heads[state]}{scope}: " + "; ".join(o.words for o in outcomes) + "."
