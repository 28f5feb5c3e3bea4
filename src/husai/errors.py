"""Errors that a user can cause: one line that names the thing and says what to do; the command line exits 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HusaiError(Exception):
    """Base of every error that husai raises on purpose."""


class UserError(HusaiError):
    """Something the user can put right. The message is one line: what is wrong, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Refused(UserError):
    """The input is readable, but a number made from it would mislead (a leaking model, synthetic shards...)."""


class Interrupted(HusaiError):
    """The user stopped the run; what was finished is kept and the message says how to go on."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """The sentence that helps after a wrong name: the nearest valid one, or all of them when none is near."""
    options = sorted(set(valid))
    lowered = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{lowered[close[0]]}'?"
    return "valid: " + ", ".join(options) if options else "there is nothing to choose from"


def unknown(what: str, name: str, valid: Iterable[str]) -> UserError:
    """`UserError` for a name that does not exist."""
    return UserError(f"unknown {what} '{name}': {nearest(name, valid)}")
