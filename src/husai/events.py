"""Progress, log lines and the stop flag. A place to report to; who listens is decided at the edge (`cli/`)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from husai.errors import Interrupted


@dataclass(frozen=True)
class Progress:
    """State of one running job: `done` of `total` units; `total` may shrink (early stop)."""

    job: str
    title: str
    done: int
    total: int
    note: str = ""


class Listener(Protocol):
    """Who hears events: a terminal, a JSON stream, a parent process, or nobody."""

    def progress(self, event: Progress) -> None:
        """A job started, advanced or ended (`done == total`)."""
        ...

    def log(self, level: str, message: str) -> None:
        """One line for the user; level is `info` or `warning`."""
        ...


class Silent:
    """Listener that drops everything (the default of the Python API)."""

    def progress(self, event: Progress) -> None:
        """Drop it."""

    def log(self, level: str, message: str) -> None:
        """Drop it."""


_listener: Listener = Silent()
_stop = False  # a plain flag: a handler of signals may not take the lock of an Event, which the same thread may hold


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send events of this process to `listener` inside the block."""
    global _listener
    previous, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = previous


def set_listener(listener: Listener) -> None:
    """Send events of this process to `listener` from now on (worker processes)."""
    global _listener
    _listener = listener


def report(job: str, title: str, done: int, total: int, note: str = "") -> None:
    """Report progress of `job`."""
    _listener.progress(Progress(job, title, done, total, note))


def log(message: str) -> None:
    """Tell the user something."""
    _listener.log("info", message)


def warn(message: str) -> None:
    """Warn the user; never use this instead of a refusal."""
    _listener.log("warning", message)


def request_stop() -> None:
    """Ask every loop to save its state and stop at the next safe point."""
    global _stop
    _stop = True


def stop_requested() -> bool:
    """Whether somebody asked to stop."""
    return _stop


def clear_stop() -> None:
    """Forget an earlier request."""
    global _stop
    _stop = False


def check_stop(how_to_go_on: str = "run the same command again to go on") -> None:
    """Raise `Interrupted` where it is safe to stop.

    Raises:
        Interrupted: a stop was requested.
    """
    if _stop:
        raise Interrupted(f"stopped; everything finished is kept: {how_to_go_on}")


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop request; a second one raises KeyboardInterrupt."""
    clear_stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if _stop:
            signal.default_int_handler(number, frame)
        request_stop()
        with suppress(RuntimeError):  # it came while a line was being written: that line cannot be broken into
            warn("stopping after saving; once more to stop at once")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        clear_stop()
