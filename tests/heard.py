"""Listeners that keep what they hear."""

from __future__ import annotations

from husai import events


class Heard:
    """Keeps the lines; progress is dropped."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, event: events.Progress) -> None:
        """Drop it."""

    def log(self, level: str, message: str) -> None:
        """Keep it."""
        self.lines.append(message)
