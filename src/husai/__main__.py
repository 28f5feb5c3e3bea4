"""The program `husai`, which is also `python -m husai`: signals have an answer from its first moment to its last."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LINE = b"husai: stopped; everything finished is kept: run the same command again to go on\n"
SHOW_CURSOR = b"\r\x1b[K\x1b[?25h"
STOPPED = 130


def main() -> None:
    """Run the command.

    Before it listens for signals itself, one ends the program at once. From its last line on there is nothing left to
    stop: another signal would only say the same once more, and Python's own clean-up could only answer with a trace.
    """
    for number in SIGNALS:
        signal.signal(number, _at_once)
    from husai.cli import main as command

    try:
        command(_hear_no_more)
    finally:
        _hear_no_more()


def _hear_no_more() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _at_once(number: int, frame: FrameType | None) -> NoReturn:
    """Leave from wherever the program is; what is on the disk is whole or absent at any moment."""
    _hear_no_more()
    os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + LINE)
    os._exit(STOPPED)


if __name__ == "__main__":
    main()
