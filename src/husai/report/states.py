"""States of claims and hypotheses as they stand on a page: a sign beside the word, and the style that colours both."""

from __future__ import annotations

from dataclasses import dataclass

from husai.report.cells import Cell

SIGNS = {
    "supported": "✓", "not supported": "✕", "not beyond": "✕", "undecided": "?", "no verdict": "\N{EN DASH}",
    "not run": "\N{EN DASH}",
}  # fmt: skip


@dataclass(frozen=True)
class State:
    """The word of the record, with what goes beside it."""

    cell: Cell
    name: str

    @property
    def sign(self) -> str:
        """So that nobody needs the colour."""
        return SIGNS.get(self.name, "")

    @property
    def style(self) -> str:
        """Class of what is coloured."""
        return f"state-{self.name.replace(' ', '-')}"
