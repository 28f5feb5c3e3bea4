"""One worker process with its own pipe: it takes work, tells what happens, and never outlives its parent.

Nothing is shared between workers: one that is killed at any instant leaves no lock behind and harms no other.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from husai import events
from husai.errors import HusaiError
from husai.studies.executors.worker import compute
from husai.studies.node import Work

Problem = tuple[BaseException, str] | None
Message = tuple[str, Any]
HELD = (signal.SIGINT, signal.SIGTERM)


class WorkerDied(RuntimeError):
    """The process ended without an answer: killed, or out of memory."""


class Worker:
    """A process of one thread. `connection` is readable when it has something to say, or is dead."""

    def __init__(self, root: Path) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, root), daemon=True)
        with _main_left_alone(), _one_thread_each(), _signals_held():
            self.process.start()
        theirs.close()

    def submit(self, work: Work) -> None:
        """Hand over a piece of work."""
        self._tell("work", work)

    def stop(self) -> None:
        """Ask it to save and end what it does."""
        self._tell("stop")

    def receive(self) -> Message:
        """Next message: ("progress" | "log", arguments) or ("done", Problem).

        Raises:
            WorkerDied: it is dead.
        """
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            raise WorkerDied("a worker process died (killed, or out of memory)") from None

    def end(self) -> None:
        """End it at once. An idle one has nothing to lose; files of a busy one are whole or absent."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _tell(self, kind: str, content: object = None) -> None:
        with suppress(OSError):  # dead: `receive` says so
            self.connection.send((kind, content))


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Keep workers from importing the caller's script: a plain script or a notebook needs no `__main__` guard."""
    main = vars(sys.modules["__main__"])
    kept = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.pop("__spec__", None)
        main.update(kept)


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


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C or SIGTERM; this one hears them when the block ends.

    Both reach the whole group, and the parent decides what they mean; a process that is still importing could only
    answer with a trace.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it later would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Forward:
    """Listener of a worker: sends events to the parent, from whatever thread, under the name of the work in hand."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.lock = connection, threading.Lock()
        self.work: Work | None = None

    def send(self, kind: str, content: object) -> None:
        """Send one message whole."""
        with self.lock, suppress(OSError):  # the parent is gone: the inbox ends this process
            self.connection.send((kind, content))

    def progress(self, event: events.Progress) -> None:
        """Forward progress; two workers may do the same kind of job at once."""
        job, title = event.job, event.title
        if self.work is not None:
            job = f"{self.work.id} {job}"
            title = title if title == self.work.title else f"{self.work.title}: {title}"
        self.send("progress", (job, title, event.done, event.total, event.note))

    def log(self, level: str, message: str) -> None:
        """Forward a line."""
        self.send("log", (level, message))


def _serve(connection: Connection, root: Path) -> NoReturn:
    """Life of a worker: quiet, single-threaded, and ended by the end of its parent, however that came."""
    for number in HELD:
        signal.signal(number, signal.SIG_IGN)
    forward, inbox = _Forward(connection), queue.SimpleQueue[Work]()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    import torch

    torch.set_num_threads(1)
    events.set_listener(forward)
    while True:
        forward.work = inbox.get()
        forward.send("done", _run(forward.work, root))


def _listen(connection: Connection, inbox: queue.SimpleQueue[Work]) -> None:
    while True:
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            os._exit(1)
        if kind == "stop":
            events.request_stop()
        else:
            inbox.put(content)


def _run(work: Work, root: Path) -> Problem:
    """Compute in a worker; errors come back as values, so that their trace is kept."""
    try:
        compute(work, root)
    except HusaiError as error:
        return error, traceback.format_exc()
    except Exception as error:  # noqa: BLE001 - any crash is an attempt to record, whatever it is
        return RuntimeError(f"{type(error).__name__}: {error}"), traceback.format_exc()
    return None
