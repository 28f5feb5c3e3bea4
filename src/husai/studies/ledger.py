"""The ledger of attempts: one line of JSON per event, failures included, appended and never rewritten."""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO, Literal

from husai.errors import Interrupted, Refused, UserError
from husai.store.files import disk_errors, make_folder
from husai.store.provenance import commit, now

Event = Literal["started", "finished", "failed", "refused", "interrupted"]
Tag = Literal["", "infrastructure fault", "refused input", "negative result", "stopped by the user"]


class Ledger:
    """`results/experiments/<study>/ledger.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.path = make_folder(folder) / "ledger.jsonl"

    def write(self, event: Event, node: str, title: str, tag: Tag = "", **detail: Any) -> None:
        """Append one event; a line is written whole or, when killed, ignored on reading."""
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        line = {"at": now(), "event": event, "node": node, "title": title, "tag": tag, "command": command, **detail}
        with disk_errors(self.path), self.path.open("ab+") as handle:
            handle.write(_new_line(handle) + json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def failure(self, node: str, title: str, config: dict[str, Any], error: BaseException, trace: str = "") -> None:
        """Note a failed attempt with its config, trace and the commit it ran on."""
        event, tag = _classify(error)
        text = trace or "".join(traceback.format_exception(error))
        self.write(event, node, title, tag, error=str(error), config=config, commit=commit(), trace=text)

    def events(self) -> list[dict[str, Any]]:
        """Every whole line."""
        if not self.path.exists():
            return []
        lines = []
        for text in self.path.read_bytes().split(b"\n"):
            try:
                lines.append(json.loads(text))
            except ValueError:  # cut off by a kill, perhaps within a character
                continue
        return lines

    def first_start(self, node: str) -> str:
        """Date (YYYYMMDD) of the first start of a node; today when it never started."""
        starts = [e["at"] for e in self.events() if e["node"] == node and e["event"] == "started"]
        return (min(starts) if starts else now())[:10].replace("-", "")


def _new_line(handle: BinaryIO) -> bytes:
    """What ends a line that a kill or a full disk cut off, so that the next one is whole."""
    if handle.seek(0, os.SEEK_END) == 0:
        return b""
    handle.seek(-1, os.SEEK_END)
    return b"" if handle.read(1) == b"\n" else b"\n"


def _classify(error: BaseException) -> tuple[Event, Tag]:
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return "interrupted", "stopped by the user"
    if isinstance(error, Refused):
        return "refused", "refused input"
    return "failed", "refused input" if isinstance(error, UserError) else "infrastructure fault"
