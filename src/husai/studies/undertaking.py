"""What runs of studies, surveys and replays share: a folder, a lock, a ledger, and a record of their own at the end."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from husai import events
from husai.config import content_hash
from husai.errors import HusaiError
from husai.store.files import make_folder
from husai.store.index import Results
from husai.store.layout import building, locked, read_record
from husai.store.provenance import now, provenance
from husai.store.record import Measurement, RunRecord
from husai.studies.computing import Computing
from husai.studies.ledger import Ledger, Tag
from husai.studies.node import Node


class Declared(Protocol):
    """What is run: a config with a name."""

    @property
    def name(self) -> str:
        """Of its folder."""
        ...

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict of every field."""
        ...


D = TypeVar("D", bound=Declared)
Upstream = Mapping[str, tuple[RunRecord, Path]]


def without_places(declared: Any) -> Any:
    """A declaration without the places of a user's files: their contents count, through the nodes."""
    if isinstance(declared, dict):
        placed = declared.get("kind") in ("external", "folder")
        return {k: without_places(v) for k, v in declared.items() if not (placed and k == "path")}
    return [without_places(one) for one in declared] if isinstance(declared, list) else declared


@dataclass(frozen=True)
class Ended:
    """What the run's own record holds: the nodes it was made from by role, what was found, and how its report is made.

    `tag` and `verdict` go into the ledger; `config` stands for the declaration where more was decided on the way.
    """

    roles: Mapping[str, Node]
    measurements: tuple[Measurement, ...]
    facts: dict[str, Any]
    seeds: dict[str, Any]
    write_report: Callable[[RunRecord, Upstream, Path], None]
    tag: Tag = ""
    verdict: str = ""
    config: dict[str, Any] | None = None


@dataclass
class Undertaking(ABC, Generic[D]):
    """One declaration in one results folder."""

    declared: D
    root: Path
    workers: int = 2

    kind: ClassVar[Literal["study", "survey", "replay", "programme"]]

    def __post_init__(self) -> None:
        self.results = Results(self.root)
        self.folder = self.results.study_folder(self.declared.name)

    @cached_property
    def id(self) -> str:
        """Hash of the declaration and of its nodes."""
        declared, nodes = self.identity()
        return content_hash({"kind": self.kind, self.kind: declared, "nodes": sorted(nodes)})[:16]

    @abstractmethod
    def identity(self) -> tuple[dict[str, Any], set[str]]:
        """What of the declaration counts, and the ids of the nodes that are known before anything runs."""

    @abstractmethod
    def warnings(self) -> list[str]:
        """What is to be said before anything runs; refuses what cannot work."""

    @abstractmethod
    def through(self, done: Computing) -> Ended:
        """Compute every node, write the folders of seeds, and judge."""

    def start(self) -> tuple[Path, RunRecord]:
        """Run to the end and return the run folder and its record; a finished one is returned as it is.

        Raises:
            UserError: something the user must put right; another process runs this.
            Interrupted: stopped; what was finished is kept.
        """
        for text in self.warnings():
            events.warn(text)
        make_folder(self.folder)
        name = self.declared.name
        done = self.results.experiment(name, self.id)
        if done is not None:
            events.log(f"already complete: {done}")
            return done, read_record(done)
        with locked(self.folder / self.id, f"study {name} in {self.root}"):
            ledger = Ledger(self.folder)
            ledger.write("started", self.id, name, config=self.declared.plain())
            try:
                return self._to_the_end(ledger)
            except (HusaiError, KeyboardInterrupt) as error:
                ledger.failure(self.id, name, self.declared.plain(), error)
                raise

    def _to_the_end(self, ledger: Ledger) -> tuple[Path, RunRecord]:
        started, clock = now(), time.monotonic()
        with Computing(self.results, self.workers, ledger) as done:
            ended = self.through(done)
        folder, record = self._file(ended, done, started, clock)
        more = {"verdict": ended.verdict} if ended.verdict else {}
        ledger.write("finished", self.id, self.declared.name, ended.tag, **more)
        return folder, record

    def _file(self, ended: Ended, done: Computing, started: str, clock: float) -> tuple[Path, RunRecord]:
        """Write the run folder, with the report inside when it is renamed."""
        name = self.declared.name
        folder = self.folder / f"{name}_{done.ledger.first_start(self.id)}_{self.id[:8]}"
        parents = {role: node.id for role, node in ended.roles.items()}
        with building(folder, self.id) as draft:
            record = RunRecord(
                id=self.id,
                kind=self.kind,
                name=name,
                status="ran",
                config=ended.config or self.declared.plain(),
                seeds=ended.seeds,
                parents=parents,
                provenance=provenance(started, time.monotonic() - clock),
                measurements=ended.measurements,
                facts=ended.facts,
            )
            upstream = {role: (done.records[i], done.folders[i]) for role, i in parents.items()}
            ended.write_report(record, upstream, draft.path)
            record = draft.complete(record)
        return folder, record
