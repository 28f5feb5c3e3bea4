"""A judged claim: its differences with what the rule says over each control, and the state that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from husai.statistics.decision import Call
from husai.statistics.estimate import Estimate
from husai.statistics.preconditions import Reason
from husai.studies.claims.claim import AnyClaim
from husai.studies.claims.evidence import Weighed

State = Literal["supported", "not supported", "undecided", "no verdict", "not run"]
Quality = Literal["holds", "fails", "undecided"]
QUALITIES: dict[Quality, State] = {"holds": "supported", "fails": "not supported", "undecided": "undecided"}


@dataclass(frozen=True)
class Element:
    """One difference of a claim: arms a less arms b, with what the rule says over each control.

    `raw` is what it would say of the difference itself, without controls: shown beside, never decisive. `reasons` are
    why it may not be read.
    """

    a: tuple[str, ...]
    b: str
    weighed: Weighed
    calls: Mapping[str, tuple[Call, Estimate]]
    raw: tuple[Call, Estimate] | None
    p_value: float | None
    reasons: tuple[Reason, ...] = ()

    @property
    def state(self) -> State:
        """Intersection over the controls; an arm that may take part in no verdict leaves none."""
        said = [] if self.reasons else [c for c, _ in self.calls.values()]
        if not said or "too few units" in said:
            return "no verdict"
        if all(c == "beyond" for c in said):
            return "supported"
        return "not supported" if "not beyond" in said else "undecided"


@dataclass(frozen=True)
class Judged:
    """A claim and what became of it.

    `at` is the effective rank that a peak was looked for at; `marks` are what has to be said of its arms in any case.
    """

    claim: AnyClaim
    margin: float
    family: int
    elements: tuple[Element, ...]
    quality: tuple[Quality, Estimate] | None
    reasons: tuple[Reason, ...]
    budgets: Mapping[str, int]
    at: float | None = None
    p_holm: float | None = None
    marks: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Beyond every control, and the explained variance where the claim asks for it."""
        said = self.beyond_state
        if self.quality is None or self.reasons:
            return said
        both = {said, QUALITIES[self.quality[0]]}
        return "not supported" if "not supported" in both else "supported" if both == {"supported"} else "undecided"

    @property
    def beyond_state(self) -> State:
        """The elements alone: beyond every control or not, whatever the claim asks of explained variance."""
        if self.reasons:
            return "not run" if self.reasons[0].code == "not run" else "no verdict"
        said = {e.state for e in self.elements}
        return "not supported" if "not supported" in said else "supported" if said == {"supported"} else "undecided"

    @property
    def raw_state(self) -> State:
        """What the stabilities alone would say, without any control: a conclusion that the controls may overturn."""
        said = [e.raw[0] if e.raw else "too few units" for e in self.deciding]
        if not said:
            return "not run" if self.reasons and self.reasons[0].code == "not run" else "no verdict"
        if "too few units" in said:
            return "no verdict"
        if all(c == "beyond" for c in said):
            return "supported"
        return "not supported" if "not beyond" in said else "undecided"

    @property
    def deciding(self) -> tuple[Element, ...]:
        """The differences that are read: of a claim with a verdict those that may be, else all of them."""
        return self.elements if self.reasons else tuple(e for e in self.elements if not e.reasons)

    @property
    def alone(self) -> bool:
        """Whether one factor alone differed, the number of steps included; architectures differ in many things."""
        return len(self.claim.factors) == 1 and self.claim.factors != ("kind",) and len(set(self.budgets.values())) == 1
