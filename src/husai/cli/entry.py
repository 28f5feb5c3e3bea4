"""Entry point: exit codes, and the one line for what a user can put right."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from husai.cli.program import app
from husai.cli.speaking import AT_ONCE
from husai.errors import HusaiError, Interrupted


def main(last_words: Callable[[], None] = lambda: None) -> None:
    """Entry point: what a user can put right is one line on stderr and exit code 2; an interruption exits 130.

    `last_words` is called before that line, after which no other may come.
    """
    try:
        code = app(standalone_mode=False, prog_name="husai") or 0
        sys.stdout.flush()
        sys.exit(code)
    except (Interrupted, KeyboardInterrupt, typer.Abort) as error:
        _leave(str(error) or AT_ONCE, 130, last_words)
    except HusaiError as error:
        _leave(str(error), 2, last_words)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # a wrong option or argument
        if usage is None:
            raise
        place = getattr(getattr(error, "ctx", None), "command_path", "husai")
        _leave(f"{usage().rstrip('.?')}; see {place} --help", 2, last_words)


def _leave(message: str, code: int, last_words: Callable[[], None]) -> None:
    last_words()
    print(f"husai: {message}", file=sys.stderr)
    sys.exit(code)
