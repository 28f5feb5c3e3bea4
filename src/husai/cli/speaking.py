"""What a command shows while it works, and how it answers in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from husai.errors import Interrupted
from husai.events import Silent, listening, stop_on_signals

AT_ONCE = "stopped at once; everything finished is kept: run the same command again to go on"


@contextmanager
def shown(quiet: bool) -> Iterator[None]:
    """Progress on stderr unless quiet; Ctrl-C and SIGTERM save and stop, a second one stops at once."""
    from husai.console import Terminal

    try:
        if quiet:
            with listening(Silent()), stop_on_signals():
                yield
            return
        with Terminal() as terminal, listening(terminal), stop_on_signals():
            yield
    except KeyboardInterrupt:
        raise Interrupted(AT_ONCE) from None


def answer(data: Any) -> None:
    print(json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False))
