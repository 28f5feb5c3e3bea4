"""A survey's record as its report reads it: settings, their tables by requested L0, and the arms in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from husai.report.cells import Cell, Words
from husai.report.view import Recorded, Upstream
from husai.store.record import Measurement

LETTERS = (*ascii_uppercase, *ascii_lowercase)
TARGET = "target"


@dataclass(frozen=True, eq=False)
class ArmView:
    """One arm; `index` is its place in the record. Its letter stands for the same architecture everywhere."""

    view: SurveyView
    index: int
    setting: int

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of it."""
        return self.view.facts["arms"][self.index]

    @property
    def name(self) -> Words:
        """Its name."""
        return Words(self.facts["arm"], f"{self.view.id}@facts.arms.{self.index}.arm", style="arm-name")

    @property
    def letter(self) -> str:
        """Its mark in figures."""
        return self.view.letters[self.index]

    @property
    def takes_part(self) -> bool:
        """Whether it is matched and converged."""
        return not self.facts["reasons"]

    @property
    def rank(self) -> dict[str, Any] | None:
        """Its place among others; None where it has none, or nobody to be compared with."""
        rank = self.facts["rank"]
        return rank if rank and rank["of"] > 1 else None

    @property
    def controls(self) -> list[str]:
        """What it is held against."""
        return self.view.facts["settings"][self.setting]["controls"]

    def fact(self, path: str, form: str = "") -> Cell:
        """What stands below its place of the record."""
        return self.view.fact(f"facts.arms.{self.index}.{path}", form)

    def listed(self, path: str) -> list[Cell]:
        """Every entry of a list below its place."""
        return self.view.listed(f"facts.arms.{self.index}.{path}")

    def get(self, name: str, **scope: str) -> Measurement | None:
        """Its measurement of that name and scope."""
        return self.view.get(name, setting=self.facts["setting"], arm=self.facts["arm"], **scope)

    def on_source(self, name: str, **scope: str) -> Measurement | None:
        """The same, on the source itself."""
        return self.get(name, source=TARGET, **scope)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The arms of one setting and requested L0, in the order of the record."""

    view: SurveyView
    setting: int
    l0: float | None
    arms: list[ArmView]

    @cached_property
    def _index(self) -> int:
        name = self.view.settings[self.setting]
        found = self.view.facts.get("comparisons", [])
        return next((i for i, c in enumerate(found) if (c["setting"], c["requested_l0"]) == (name, self.l0)), -1)

    @property
    def number(self) -> str:
        """What its tables are called by."""
        return str(self.view.comparisons.index(self))

    @property
    def title(self) -> Cell:
        """Setting and requested L0, in the words of the record."""
        return self.view.fact(f"facts.comparisons.{self._index}.title")

    @property
    def words(self) -> Cell:
        """What was found, in the words of the record."""
        return self.view.fact(f"facts.comparisons.{self._index}.words")

    @property
    def ranked(self) -> list[ArmView]:
        """Arms that have a place among others, the first first."""
        return sorted((arm for arm in self.arms if arm.rank), key=lambda arm: arm.facts["rank"]["rank"])

    @property
    def ordered(self) -> list[ArmView]:
        """The ranked ones, then the others in the order of the record."""
        first = self.ranked
        return [*first, *(arm for arm in self.arms if arm not in first)]


@dataclass(frozen=True, eq=False)
class SurveyView(Recorded):
    """The survey's record with its upstream records by role."""

    @cached_property
    def settings(self) -> list[str]:
        """Names of the settings."""
        return [setting["setting"] for setting in self.facts["settings"]]

    def setting(self, index: int) -> Words:
        """A setting's name."""
        return Words(self.settings[index], f"{self.id}@facts.settings.{index}.setting", style="source")

    @cached_property
    def arms(self) -> list[ArmView]:
        """Every arm."""
        facts = self.facts["arms"]
        return [ArmView(self, i, self.settings.index(arm["setting"])) for i, arm in enumerate(facts)]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every table, in the order of the record."""
        groups: dict[tuple[int, float | None], list[ArmView]] = {}
        for arm in self.arms:
            groups.setdefault((arm.setting, arm.facts["requested_l0"]), []).append(arm)
        return [Comparison(self, setting, l0, arms) for (setting, l0), arms in groups.items()]

    def comparisons_of(self, setting: int) -> list[Comparison]:
        """The tables of one setting."""
        return [found for found in self.comparisons if found.setting == setting]

    @cached_property
    def letters(self) -> list[str]:
        """A letter for each arm: one for an architecture, or for a name where a table has an architecture twice."""
        twice = {
            (table.setting, arm.facts["kind"])
            for table in self.comparisons
            for arm in table.arms
            if sum(other.facts["kind"] == arm.facts["kind"] for other in table.arms) > 1
        }
        names = [(arm.setting, arm.facts["kind"]) for arm in self.arms]
        keys = [f["arm"] if n in twice else n[1] for f, n in zip(self.facts["arms"], names, strict=True)]
        order = list(dict.fromkeys(keys))
        return [letter_of(order.index(key)) for key in keys]

    def key(self, arms: list[ArmView]) -> list[tuple[str, Cell]]:
        """What the letters of these arms stand for, as a legend."""
        kinds: dict[str, set[str]] = {}
        for arm in self.arms:
            kinds.setdefault(arm.letter, set()).add(arm.facts["arm"])
        found: dict[str, Cell] = {}
        for arm in arms:
            name = replace(arm.name, style="") if len(kinds[arm.letter]) == 1 else arm.fact("kind")
            found.setdefault(arm.letter, name)
        return [(f"letter:{letter}", name) for letter, name in sorted(found.items(), key=lambda e: given_out(e[0]))]

    def of_kind(self, kind: str) -> list[Upstream]:
        """Upstream records of a kind, by role."""
        return [up for up in self.upstream.values() if up.record.kind == kind]


def letter_of(index: int) -> str:
    """A to Z, a to z, then two of them."""
    if index < len(LETTERS):
        return LETTERS[index]
    return letter_of(index // len(LETTERS) - 1) + LETTERS[index % len(LETTERS)]


def given_out(letter: str) -> tuple[int, tuple[int, ...]]:
    """Sort key: as they were given out."""
    return len(letter), tuple(LETTERS.index(c) for c in letter)
