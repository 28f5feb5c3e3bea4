"""`Finished`: a study of a programme that is done, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from husai.store.record import RunRecord


@dataclass(frozen=True)
class Finished:
    """A study of a programme, done."""

    name: str
    record: RunRecord
    folder: Path

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Its claims, each with its study's name; what a replay repeats are the claims of others."""
        if self.record.kind != "survey":
            return []
        return [claim | {"study": self.name} for claim in self.record.facts.get("claims", [])]

    @property
    def answer(self) -> str:
        """What it found, in its own words."""
        facts = self.record.facts
        return facts["verdict"]["words"] if "verdict" in facts else facts.get("answer", "")
