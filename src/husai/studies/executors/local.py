"""Nodes in processes of this machine: parents before children, each process with one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from husai import events
from husai.studies.executors.process import Problem, Worker, WorkerDied
from husai.studies.node import Node, Work

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Failure:
    """Why a node failed, with the trace of the process it failed in."""

    node: Node
    error: BaseException
    trace: str


@dataclass(frozen=True)
class Hooks:
    """What the caller does: turn a node into work, note that it started, note that it is done."""

    work_of: Callable[[Node], Work]
    on_start: Callable[[Node], None]
    on_done: Callable[[Node], None]


class LocalExecutor:
    """Runs graphs of nodes on at most `workers` processes, which are started when first needed and kept until the end.

    Use it in a `with` block: the processes end with it.
    """

    def __init__(self, root: Path, workers: int) -> None:
        self.root, self.most = root, max(1, workers)
        self.idle: list[Worker] = []
        self.running: dict[Worker, Node] = {}
        self.failure: Failure | None = None
        self.stopping = False

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End every process; one still works only where something broke here."""
        for worker in (*self.running, *self.idle):
            worker.end()
        self.running, self.idle = {}, []

    def run(self, nodes: Iterable[Node], hooks: Hooks) -> Failure | None:
        """Run `nodes` (each with its upstream among them or done before); returns the first failure, if any.

        After a failure, or a stop, running nodes are asked to save and end, and nothing new is started.
        """
        pending = {node.id: node for node in nodes}
        while pending or self.running:
            if self.failure is None and not events.stop_requested():
                self._start(pending, hooks)
            elif not self.running:
                break
            else:
                self._stop_running()
            self._hear(hooks)
        return self.failure

    def _start(self, pending: dict[str, Node], hooks: Hooks) -> None:
        """Give a ready node to every process that is free."""
        for node in _ready(pending, self.running.values(), self.most):
            hooks.on_start(pending.pop(node.id))
            worker = self.idle.pop() if self.idle else Worker(self.root)
            worker.submit(hooks.work_of(node))
            self.running[worker] = node

    def _stop_running(self) -> None:
        if not self.stopping:
            self.stopping = True
            for worker in self.running:
                worker.stop()

    def _hear(self, hooks: Hooks) -> None:
        """Take one message from every process that has one."""
        readable = wait([worker.connection for worker in self.running], timeout=LOOK_SECONDS)
        for worker in [w for w in self.running if w.connection in readable]:
            try:
                kind, content = worker.receive()
            except WorkerDied as error:
                worker.end()
                self._failed(self.running.pop(worker), (error, str(error)))
                continue
            if kind == "done":
                self._done(worker, content, hooks)
            else:
                _tell(kind, content)

    def _done(self, worker: Worker, problem: Problem, hooks: Hooks) -> None:
        node = self.running.pop(worker)
        self.idle.append(worker)
        if problem is None:
            hooks.on_done(node)
        else:
            self._failed(node, problem)

    def _failed(self, node: Node, problem: tuple[BaseException, str]) -> None:
        if self.failure is None:
            self.failure = Failure(node, *problem)


def _ready(pending: dict[str, Node], running: Iterable[Node], workers: int) -> list[Node]:
    """Nodes whose upstream is neither pending nor running, in the plan's order, as many as there are free workers."""
    busy = list(running)
    open_ids = set(pending) | {node.id for node in busy}
    ready = [n for n in pending.values() if not any(u.id in open_ids for u in n.upstream())]
    return ready[: max(0, workers - len(busy))]


def _tell(kind: str, content: tuple[Any, ...]) -> None:
    """Hand a worker's event to the listener of this process."""
    if kind == "progress":
        events.report(*content)
    else:
        level, message = content
        (events.warn if level == "warning" else events.log)(message)
