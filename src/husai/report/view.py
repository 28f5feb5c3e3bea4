"""A study's record and those it was made from, as the report reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from husai.report.cells import Cell, Missing, Number, Words, fact
from husai.store.files import read_json
from husai.store.record import Measurement, RunRecord
from husai.store.references import Unresolved, follow

RANDOM_MODEL = "random_model"
SOURCES = ("target", "gaussian", "gaussian-2", "planted", "planted-gaussian", RANDOM_MODEL)
KINDS = (
    "model", "activations", "reference", "stack", "measure", "level", "projection", "frozen", "splice", "fourier",
    "before", "activation", "calibration",
)  # fmt: skip
STATISTIC = "mcc_signed"


@dataclass(frozen=True)
class Upstream:
    """A record that the study's record names, in its run folder; `role` is the name it has there."""

    role: str
    record: RunRecord
    folder: Path

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.id

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The record as JSON."""
        return ordered(self.record)

    def get(self, name: str, **scope: str) -> Measurement | None:
        """The measurement of that name and exact scope, or None."""
        return find(self.record, name, scope)

    def json(self, name: str) -> Any:
        """A JSON file of its folder."""
        return read_json(self.folder / name)

    def fact(self, path: str, form: str = "") -> Cell:
        """What stands at a path of the record."""
        return look(self.plain, self.id, path, form)


def ordered(record: RunRecord) -> dict[str, Any]:
    """The record as JSON, as it is when read back: a page never depends on the order in which a fact was noted."""
    return json.loads(json.dumps(record.plain(), sort_keys=True))


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key in which 9 comes before 10."""
    parts = re.split(r"(\d+)", text)
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)


def source_order(name: str) -> tuple[Any, ...]:
    """Target, its controls, the planted dictionary, random models, everything else by name."""
    return (SOURCES.index(name) if name in SOURCES else len(SOURCES), natural(name))


def _role_order(role: str) -> tuple[Any, ...]:
    kind, _, rest = role.partition(" ")
    source, _, more = rest.partition(" ")
    return (KINDS.index(kind) if kind in KINDS else len(KINDS), source_order(source), natural(more))


def find(record: RunRecord, name: str, scope: Mapping[str, str]) -> Measurement | None:
    """The measurement of that name and exact scope, or None: missing is for the caller to say."""
    return next((m for m in record.measurements if m.name == name and m.scope == scope), None)


def look(data: Any, run: str, path: str, form: str = "") -> Cell:
    """What stands at a path of a record, or that the record does not hold it."""
    try:
        found = follow(data, path)
    except Unresolved:
        return Missing("not in the record")
    return fact(found, f"{run}@{path}", form=form)


@dataclass(frozen=True)
class Recorded:
    """A record that has a page, with its upstream records by role."""

    record: RunRecord
    upstream: Mapping[str, Upstream]

    @classmethod
    def of(cls, record: RunRecord, upstream: Mapping[str, tuple[RunRecord, Path]]) -> Self:
        """From what the runner hands over, in an order that does not depend on how it was kept."""
        return cls(record, {role: Upstream(role, *upstream[role]) for role in sorted(upstream, key=_role_order)})

    @property
    def id(self) -> str:
        """Id of the record."""
        return self.record.id

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The record as JSON."""
        return ordered(self.record)

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the record, as JSON."""
        return self.plain["facts"]

    @cached_property
    def _by_place(self) -> dict[tuple[str, frozenset[tuple[str, str]]], Measurement]:
        return {(m.name, frozenset(m.scope.items())): m for m in self.record.measurements}

    def get(self, name: str, **scope: str) -> Measurement | None:
        """The record's own measurement of that name and exact scope, or None."""
        return self._by_place.get((name, frozenset(scope.items())))

    def fact(self, path: str, form: str = "") -> Cell:
        """What stands at a path of the record."""
        return look(self.plain, self.id, path, form)

    def listed(self, path: str) -> list[Cell]:
        """Every entry of a list in the record."""
        try:
            found = follow(self.plain, path)
        except Unresolved:
            return []
        return [fact(entry, f"{self.id}@{path}.{i}") for i, entry in enumerate(found)]

    @property
    def margin(self) -> Number:
        """The margin fixed beforehand."""
        return Number(self.record.config["margin"], f"{self.id}@config.margin", "value", ".4g")


@dataclass(frozen=True)
class View(Recorded):
    """The study's record with its upstream records by role."""

    @cached_property
    def arms(self) -> list[str]:
        """Names of the arms."""
        return [arm["name"] for arm in self.record.config["arms"]]

    def arm(self, index: int) -> Words:
        """An arm's name, in its colour."""
        return Words(self.arms[index], f"{self.id}@config.arms.{index}.name", style=f"arm arm-{index}")

    @cached_property
    def groups(self) -> list[str]:
        """Sources that have a stability in the study's record, the random models as one."""
        return sorted({m.scope["source"] for m in self.record.select(STATISTIC)}, key=source_order)

    @cached_property
    def sources(self) -> list[str]:
        """Every single source that was measured."""
        return sorted({role.split(" ")[1] for role in self.upstream if role.startswith("measure ")}, key=source_order)

    def measure(self, source: str, arm: str) -> Upstream | None:
        """What was measured of one arm on one source at its budget."""
        steps = self.facts["budgets"][self.arms.index(arm)]["steps"]
        return self.upstream.get(f"measure {source} {arm} {steps}")
