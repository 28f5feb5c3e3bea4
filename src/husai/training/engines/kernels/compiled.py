"""How the loops are compiled: a sum may be reordered once, when compiled, never from call to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
# Reordering lets a sum use the vector unit; NaN and infinity keep their meaning, so that a divergence shows.
REORDERED = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: F) -> F:
    """A compiled function that holds no lock; kept on disk beside the module for the next process.

    It is put into its compiled callers whole: else a process that has just compiled it calls a copy that rounds
    otherwise than the caller's own copy, which processes that load it call.
    """
    return cast(F, njit(nogil=True, cache=True, fastmath=REORDERED, error_model="numpy", forceinline=True)(function))
