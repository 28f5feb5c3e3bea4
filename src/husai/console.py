"""Progress in a terminal: one bar per running job, with remaining time, and lines for the user above them."""

from __future__ import annotations

import sys
import threading
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from husai.events import Progress as Event

LINE_EVERY_SHARE = 0.25
SHORT_SECONDS = 2.0


class Terminal:
    """Listener with live bars on a terminal; elsewhere (a log file) a plain line per quarter of a job that takes time.

    Everything goes to stderr, so that stdout holds answers only. Jobs report from several threads.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = self.console.is_terminal
        self.lock = threading.Lock()
        self.tasks: dict[str, TaskID] = {}
        self.told: dict[tuple[str, str], tuple[float, int]] = {}
        self.said: set[str] = set()
        self.bars = Progress(
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim"),
            console=self.console,
            transient=True,
        )

    def __enter__(self) -> Terminal:
        """Show the bars."""
        if self.live:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bars."""
        if self.live:
            self.bars.stop()

    def progress(self, event: Event) -> None:
        """Move the bar of a job, or say a line."""
        with self.lock:
            if self.live:
                self._bar(event)
            else:
                self._line(event)

    def log(self, level: str, message: str) -> None:
        """One line above the bars."""
        if level == "warning" and message in self.said:  # every stack on the same rows has the same to say
            return
        self.said.add(message)
        mark = "warning: " if level == "warning" else ""
        self.console.print(f"{mark}{message}", style="yellow" if mark else None, markup=False)

    def _bar(self, event: Event) -> None:
        if event.job not in self.tasks:
            self.tasks[event.job] = self.bars.add_task(event.title, total=event.total, note="")
        task = self.tasks[event.job]
        self.bars.update(task, completed=event.done, total=event.total, note=event.note, description=event.title)
        if event.done >= event.total:
            self.bars.remove_task(self.tasks.pop(event.job))

    def _line(self, event: Event) -> None:
        begun, told = self.told.get((event.job, event.title), (time.monotonic(), 0))
        quarter = int(event.done / max(event.total, 1) / LINE_EVERY_SHARE)
        if told < quarter and time.monotonic() - begun >= SHORT_SECONDS:
            told = quarter
            note = f"  {event.note}" if event.note else ""
            print(f"{event.title}: {event.done}/{event.total}{note}", file=sys.stderr, flush=True)
        self.told[event.job, event.title] = (begun, told)
        if event.done >= event.total:  # the next job of that name is another one
            del self.told[event.job, event.title]
