"""What the adapter of another tool offers. The tool itself is imported by its methods only."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from benchmarks.sizes import Size

Step = Callable[[Tensor], None]


class Peer(Protocol):
    """One tool, with its own classes and its own defaults."""

    name: str

    def available(self) -> str:
        """Why the tool cannot run here; empty when it can."""
        ...

    def settings(self, device: str) -> tuple[str, ...]:
        """Documented choices that change its speed, its default first. Each is tried, the fastest counts."""
        ...

    def make(self, size: Size, seed: int, device: str, setting: str) -> Step:
        """One SAE at its start; the result is one complete training step on rows x [B, D]."""
        ...


def why_not(module: str, install: str) -> str:
    """Why `module` cannot be imported; empty when it can. Broken by a neighbour's version counts as absent."""
    try:
        importlib.import_module(module)
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        return f"{type(error).__name__}: {error} ({install})"
    return ""
