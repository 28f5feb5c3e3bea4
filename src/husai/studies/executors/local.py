"""Nodes in processes of this machine: each with one thread, all reporting to the parent, none outliving it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue as ProcessQueue
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path
from typing import Any

from husai import events
from husai.errors import HusaiError
from husai.studies.executors.worker import compute
from husai.studies.node import Node, Work

Message = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Failure:
    """Why a node failed, with the trace of the process it failed in."""

    node: Node
    error: BaseException
    trace: str


class _Forward:
    """Listener of a worker: sends events to the parent."""

    def __init__(self, queue: ProcessQueue[Message]) -> None:
        self.queue = queue

    def progress(self, event: events.Progress) -> None:
        """Forward progress."""
        self.queue.put(("progress", (event.job, event.title, event.done, event.total, event.note)))

    def log(self, level: str, message: str) -> None:
        """Forward a line."""
        self.queue.put(("log", (level, message)))


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Keep workers from importing the caller's script: a plain script or a notebook needs no `__main__` guard."""
    main = sys.modules["__main__"]
    kept = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    vars(main).update(dict.fromkeys(kept))
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(kept)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers started inside have one BLAS thread: two processes on two cores otherwise fight over four threads.

    The libraries read these variables when they are first imported, which is before any code of ours runs there.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker(queue: ProcessQueue[Message], stop: ProcessEvent) -> None:
    """Make a worker quiet, single-threaded and mortal: it ends when the parent does, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    events.set_listener(_Forward(queue))
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    def obey() -> None:
        stop.wait()
        events.request_stop()

    threading.Thread(target=watch, daemon=True).start()
    threading.Thread(target=obey, daemon=True).start()


def _run(work: Work, root: Path) -> tuple[BaseException, str] | None:
    """Compute in a worker; errors come back as values, so that their trace is kept."""
    try:
        compute(work, root)
    except HusaiError as error:
        return error, traceback.format_exc()
    except Exception as error:  # noqa: BLE001 - any crash is an attempt to record, whatever it is
        return RuntimeError(f"{type(error).__name__}: {error}"), traceback.format_exc()
    return None


class LocalExecutor:
    """Runs a graph of nodes on `workers` processes, parents before children."""

    def __init__(self, root: Path, workers: int) -> None:
        self.root, self.workers = root, max(1, workers)

    def run(
        self,
        nodes: Iterable[Node],
        work_of: Callable[[Node], Work],
        on_start: Callable[[Node], None],
        on_done: Callable[[Node], None],
    ) -> Failure | None:
        """Run `nodes` (each with its upstream among them or done before); returns the first failure, if any.

        After a failure, or a stop, running nodes are asked to save and end, and nothing new is started.
        """
        pending = {node.id: node for node in nodes}
        if not pending:
            return None
        context = multiprocessing.get_context("spawn")
        queue: ProcessQueue[Message] = context.Queue()
        stop = context.Event()
        relay = threading.Thread(target=_relay, args=(queue,), daemon=True)
        relay.start()
        pool = ProcessPoolExecutor(
            min(self.workers, len(pending)), context, initializer=_start_worker, initargs=(queue, stop)
        )
        try:
            with _main_left_alone(), _one_thread_each():
                return self._schedule(pool, pending, stop, work_of, on_start, on_done)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            queue.put(("end", ()))
            relay.join(timeout=5)

    def _schedule(
        self,
        pool: ProcessPoolExecutor,
        pending: dict[str, Node],
        stop: ProcessEvent,
        work_of: Callable[[Node], Work],
        on_start: Callable[[Node], None],
        on_done: Callable[[Node], None],
    ) -> Failure | None:
        running: dict[Future[tuple[BaseException, str] | None], Node] = {}
        failure: Failure | None = None
        while pending or running:
            if failure is None and not events.stop_requested():
                for node in _ready(pending, running.values(), self.workers):
                    on_start(pending.pop(node.id))
                    running[pool.submit(_run, work_of(node), self.root)] = node
            elif not running:
                break
            if events.stop_requested():
                stop.set()
            done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                node = running.pop(future)
                problem = _result(future)
                if problem is None:
                    on_done(node)
                elif failure is None:
                    failure = Failure(node, *problem)
                    stop.set()
        return failure


def _ready(pending: dict[str, Node], running: Iterable[Node], workers: int) -> list[Node]:
    """Nodes whose upstream is neither pending nor running, in the plan's order, as many as there are free workers."""
    busy = list(running)
    open_ids = set(pending) | {node.id for node in busy}
    ready = [n for n in pending.values() if not any(u.id in open_ids for u in n.upstream())]
    return ready[: max(0, workers - len(busy))]


def _result(future: Future[tuple[BaseException, str] | None]) -> tuple[BaseException, str] | None:
    try:
        return future.result()
    except BrokenProcessPool as error:
        return RuntimeError("a worker process died (killed, or out of memory)"), repr(error)


def _relay(queue: ProcessQueue[Message]) -> None:
    """Hand the workers' events to the listener of this process."""
    while True:
        kind, payload = queue.get()
        if kind == "end":
            return
        if kind == "progress":
            events.report(*payload)
        else:
            (events.warn if payload[0] == "warning" else events.log)(payload[1])
