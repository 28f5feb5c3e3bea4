"""A programme's record as its report reads it: hypotheses, studies with where their reports lie, arms by source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from husai.report.cells import Cell, Words
from husai.report.states import State
from husai.report.survey_view import letter_of
from husai.report.view import Recorded
from husai.store.record import Measurement, RunRecord

PAGE = "report.html"


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry of a list in the record's facts."""

    view: ProgrammeView
    kind: str
    index: int

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of it."""
        return self.view.facts[self.kind][self.index]

    @property
    def at(self) -> str:
        """Its place."""
        return f"facts.{self.kind}.{self.index}"

    def fact(self, path: str) -> Cell:
        """What stands below its place."""
        return self.view.fact(f"{self.at}.{path}")

    def words(self, path: str, style: str = "") -> Words:
        """The same, where it is known to be words."""
        return Words(str(self.facts[path]), f"{self.view.id}@{self.at}.{path}", style=style)

    def listed(self, path: str) -> list[Cell]:
        """Every entry of a list below its place."""
        return self.view.listed(f"{self.at}.{path}")


@dataclass(frozen=True, eq=False)
class HypothesisView(Entry):
    """A hypothesis with the claims that its rule looked at."""

    @property
    def state(self) -> State:
        """What its rule came to."""
        return State(self.fact("state"), self.facts["state"])

    @property
    def deciding(self) -> list[int]:
        """Places of the claims that decided."""
        return [i for i, claim in enumerate(self.facts["claims"]) if claim["deciding"]]


@dataclass(frozen=True, eq=False)
class StudyView(Entry):
    """A study of the programme."""

    @property
    def link(self) -> str | None:
        """The way to its report from the programme's own; None where it lies in another results folder."""
        up = self.view.upstream.get(f"study {self.facts['study']}")
        if up is None or not (up.folder / PAGE).is_file() or up.folder.parent.parent != self.view.experiments:
            return None
        return f"../../{up.folder.parent.name}/{up.folder.name}/{PAGE}"


@dataclass(frozen=True, eq=False)
class FrontView(Entry):
    """An arm on a source."""

    @property
    def name(self) -> Words:
        """Of the arm."""
        return self.words("arm", "arm-name")

    @property
    def letter(self) -> str:
        """Its mark in the figure of its source."""
        return self.view.letters[self.index]

    def get(self, name: str) -> Measurement | None:
        """Its measurement."""
        facts = self.facts
        return self.view.get(name, study=facts["study"], setting=facts["setting"], arm=facts["arm"])


@dataclass(frozen=True)
class ProgrammeView(Recorded):
    """The programme's record with its studies' records by role; `experiments` is where run folders lie, resolved."""

    experiments: Path = field(default=Path())

    @classmethod
    def at(cls, record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]], folder: Path) -> Self:
        """As its report is written into `folder`, a run folder or one under construction beside it."""
        resolved = {role: (found, path.resolve()) for role, (found, path) in upstream.items()}
        return cls(record, cls.of(record, resolved).upstream, folder.resolve().parent.parent)

    @cached_property
    def hypotheses(self) -> list[HypothesisView]:
        """In the order of the record."""
        return [HypothesisView(self, "hypotheses", i) for i in range(len(self.facts["hypotheses"]))]

    @cached_property
    def studies(self) -> list[StudyView]:
        """In the order in which they ran."""
        return [StudyView(self, "studies", i) for i in range(len(self.facts["studies"]))]

    @cached_property
    def front(self) -> list[FrontView]:
        """Every arm of every survey."""
        return [FrontView(self, "front", i) for i in range(len(self.facts["front"]))]

    @cached_property
    def sources(self) -> list[list[FrontView]]:
        """Arms by the source that they were trained on; arms of several studies may share one."""
        found: dict[str, list[FrontView]] = {}
        for arm in self.front:
            found.setdefault(arm.facts["source"], []).append(arm)
        return list(found.values())

    @cached_property
    def letters(self) -> list[str]:
        """A letter for each arm, counted anew for each source."""
        found = {arm.index: letter_of(i) for arms in self.sources for i, arm in enumerate(arms)}
        return [found[arm.index] for arm in self.front]
