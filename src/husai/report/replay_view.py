"""A replay's record as its report reads it: claims with their three columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from husai.report.cells import Cell, Number, Small, Words, interval, units, value
from husai.report.tables import Column, Table
from husai.report.view import Recorded
from husai.store.record import Measurement

COLUMNS = ("claimed", "reproduced", "true")
OVERTURNED, STANDS = "reproduced and overturned", "reproduced and it stands"  # the figure, or its mechanism


@dataclass(frozen=True, eq=False)
class ClaimView:
    """One claim; `index` is its place in the record."""

    view: ReplayView
    index: int

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of it."""
        return self.view.facts["claims"][self.index]

    def fact(self, name: str) -> Cell:
        """A fact of it."""
        return self.view.fact(f"facts.claims.{self.index}.{name}")

    def listed(self, name: str) -> list[Cell]:
        """Every entry of a list among its facts."""
        return self.view.listed(f"facts.claims.{self.index}.{name}")

    @property
    def anchor(self) -> str:
        """Where it stands on the page."""
        return f"claim-{self.facts['claim'].lower()}"

    @property
    def style(self) -> str:
        """Colour of its state."""
        if self.overturned:
            return "not-beyond"
        return "supported" if self.facts["state"].endswith(STANDS) else "undecided"

    @property
    def overturned(self) -> bool:
        """Only then is there a number to explain."""
        return self.facts["state"].endswith(OVERTURNED)

    def figures(self, column: str) -> list[tuple[Cell, Cell, Cell]]:
        """What each number of a column is, the number, and its interval, units and how both were made."""
        found = self.view.record.select(column, claim=self.facts["claim"])
        return [(self._what(m), self._value(m), self._made(m)) for m in found]

    def _what(self, m: Measurement) -> Cell:
        return Words(m.scope["what"], f"{self.view.id}#{m.key}", "scope.what")

    def _value(self, m: Measurement) -> Cell:
        """With four digits, as sentences have them."""
        shown = value(m, self.view.id)
        return replace(shown, format=".4g") if isinstance(shown, Number) else shown

    def _made(self, m: Measurement) -> Cell:
        if m.interval is None:
            return interval(m, self.view.id)
        at = f"{self.view.id}#{m.key}"
        parts: list[Cell] = [interval(m, self.view.id), "; n = ", units(m, self.view.id), "; "]
        only = "; replay only" if m.interval.method.startswith("legacy") else ""
        return (*parts, Words(m.interval.method, at, "method"), only)


@dataclass(frozen=True, eq=False)
class ReplayView(Recorded):
    """The replay's record with its upstream records by role."""

    @cached_property
    def claims(self) -> list[ClaimView]:
        """Every claim, in the order of the record."""
        return [ClaimView(self, i) for i in range(len(self.facts["claims"]))]


def overview(view: ReplayView) -> Table:
    """Every claim with its state and the first number of each column."""
    columns = [Column(head, text=True) for head in ("claim", "what was claimed", "state")]
    columns += [Column(head, text=True) for head in ("claimed", "replayed", "read rightly")]
    rows: list[list[Cell]] = []
    for claim in view.claims:
        state = Words(claim.facts["state"], f"{view.id}@facts.claims.{claim.index}.state", style=f"is-{claim.style}")
        numbers = [_first(claim, column) for column in COLUMNS]
        rows.append([claim.fact("claim"), claim.fact("title"), state, *numbers])
    return Table("overview", "Published claims", columns, rows, wordy=True)


def _first(claim: ClaimView, column: str) -> Cell:
    found = claim.figures(column)
    return (found[0][1], Small((found[0][0],))) if found else ""
