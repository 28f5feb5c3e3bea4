"""Nodes computed in parallel processes, what is done already taken as it is, failures kept in the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from husai import events
from husai.errors import HusaiError, Interrupted, UserError
from husai.store.index import Results
from husai.store.layout import read_record
from husai.store.record import RunRecord
from husai.studies.executors.local import Failure, Hooks, LocalExecutor
from husai.studies.ledger import Ledger
from husai.studies.node import Node, folder_of, work_of

GO_ON = "run the same command again to go on"


@dataclass
class Computing:
    """Records and folders of finished nodes, by id; use it as a context manager, which keeps the processes."""

    results: Results
    workers: int
    ledger: Ledger
    records: dict[str, RunRecord] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._executor = LocalExecutor(self.results.root, self.workers)

    def __enter__(self) -> Self:
        """Start the processes."""
        self._executor.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them."""
        self._executor.__exit__(kind, error, trace)

    def nodes(self, nodes: Iterable[Node]) -> None:
        """Compute what is not done yet.

        Raises:
            UserError: a node failed; finished ones are kept.
            Interrupted: stopped; what was finished is kept.
        """
        missing = []
        for node in nodes:
            record = read_record(node.given) if node.given else self.results.node(node.kind, node.id)
            if record is None:
                missing.append(node)
            else:
                self._note(node, record)
        hooks = Hooks(
            lambda node: work_of(node, self.results),
            lambda node: self.ledger.write("started", node.id, node.title),
            self._finished,
        )
        failure = self._executor.run(missing, hooks)
        if failure is not None:
            self._fail(failure)
        if events.stop_requested():
            raise Interrupted(f"stopped; everything finished is kept: {GO_ON}")

    def _finished(self, node: Node) -> None:
        record = self.results.node(node.kind, node.id)
        if record is None:
            raise UserError(f"{node.title}: its folder vanished while the study ran; {GO_ON}")
        self._note(node, record)
        spent = {"seconds": record.provenance.seconds, "parts": record.provenance.parts}
        self.ledger.write("finished", node.id, node.title, **spent)

    def _note(self, node: Node, record: RunRecord) -> None:
        self.records[node.id] = record
        self.folders[node.id] = folder_of(node, self.results)

    def _fail(self, failure: Failure) -> None:
        self.ledger.failure(failure.node.id, failure.node.title, failure.node.fields, failure.error, failure.trace)
        if isinstance(failure.error, HusaiError):
            raise failure.error
        where = f"the trace is in {self.ledger.path}; finished parts are kept"
        raise UserError(f"{failure.node.title} failed: {failure.error}; {where}: {GO_ON}")
