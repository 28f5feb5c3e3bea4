"""The claims of a survey: each with its words, what differed, and every difference over every control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from husai.report.cells import Cell, Flag, Small, Words, level, with_interval
from husai.report.states import State
from husai.report.survey_tables import joined
from husai.report.survey_view import SurveyView
from husai.report.tables import Column, Table, cell
from husai.store.record import Measurement

ALONE, TOGETHER = "it alone differed, steps of training included", "several things differed together"


@dataclass(frozen=True)
class ClaimView:
    """One claim; `index` is its place in the record."""

    view: SurveyView
    index: int

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of it."""
        return self.view.facts["claims"][self.index]

    def fact(self, path: str) -> Cell:
        """What stands below its place of the record."""
        return self.view.fact(f"facts.claims.{self.index}.{path}")

    @property
    def name(self) -> Words:
        """Its name."""
        return Words(self.facts["claim"], f"{self.view.id}@facts.claims.{self.index}.claim", style="arm-name")

    @property
    def state(self) -> State:
        """What was decided."""
        return State(self.fact("state"), self.facts["state"])

    @property
    def overturned(self) -> bool:
        """Whether the stabilities alone would have said something else."""
        return self.facts["without_controls"] != self.facts["state"]

    def measured(self, name: str, **scope: str) -> Measurement | None:
        """Its measurement of that name; its arms a need not be named, since b tells its elements apart."""
        found = self.view.record.select(name, claim=self.facts["claim"], **scope)
        return found[0] if found else None

    @property
    def about(self) -> list[tuple[Cell, Cell]]:
        """What differed, how many were open together, and what the explained variance did."""
        at = f"facts.claims.{self.index}"
        alone = Flag(self.facts["alone"], f"{self.view.id}@{at}.alone", ALONE, TOGETHER, plain=True)
        budgets: list[Cell] = [(f"{arm} ", self.fact(f"budgets.{arm}")) for arm in self.facts["budgets"]]
        found: list[tuple[Cell, Cell]] = [("setting", self.fact("setting"))]
        found += [("what differed", (joined(self.view.listed(f"{at}.factors")), ": ", alone))]
        found += [("steps", joined(budgets))]
        if self.facts["effective_rank"] is not None:
            found.append(("effective rank of the rows", self.fact("effective_rank")))
        found += self._family()
        quality = self.measured("claim.explained_variance")
        if quality is not None:
            shown = (with_interval(quality, self.view.id), Small((level(quality, self.view.id), " interval")))
            found.append(("explained variance, a minus b", shown))
        return found

    def _family(self) -> list[tuple[Cell, Cell]]:
        open_: Cell = (self.fact("open_together"), " in the family ", self.fact("family"))
        p = self.measured("claim.p_holm")
        return [("open together (Bonferroni)", open_), ("p-value (Holm)", cell(p, self.view.id))]


def claims(view: SurveyView) -> list[ClaimView]:
    """Every claim, in the order of the record; none in records from before there were claims."""
    return [ClaimView(view, i) for i in range(len(view.facts.get("claims", [])))]


def differences(claim: ClaimView) -> Table:
    """Every element over every control, and the difference itself, which decides nothing."""
    columns = [Column(head, text=True) for head in ("a", "b", "over")]
    columns += [Column("a minus b"), Column("level of the interval"), Column("the rule says", text=True)]
    rows = [row for i in range(len(claim.facts["elements"])) for row in _element(claim, i)]
    title, why = "Differences over each control", "some pair of seeds has nothing to compare"
    return Table(f"claim-{claim.index}", title, columns, rows, why)


def _element(claim: ClaimView, index: int) -> list[list[Cell]]:
    facts, at = claim.facts["elements"][index], f"elements.{index}"
    arms: list[Cell] = [joined(claim.view.listed(f"facts.claims.{claim.index}.{at}.a"), " + "), claim.fact(f"{at}.b")]
    rows: list[list[Cell]] = []
    for control in facts["says"]:
        m = claim.measured("claim.excess", b=facts["b"], control=control)
        over: Cell = Words(control, f"{claim.view.id}#{m.key}", "scope.control", "source") if m else control
        rows.append([*arms, over, *_shown(m, claim), claim.fact(f"{at}.says.{control}")])
    raw = claim.measured("claim.difference", b=facts["b"])
    if raw is not None:
        rows.append([*arms, "nothing: the difference itself", *_shown(raw, claim), "decides nothing"])
    return rows


def _shown(m: Measurement | None, claim: ClaimView) -> list[Cell]:
    return [cell(m, claim.view.id, with_interval), level(m, claim.view.id) if m else ""]
