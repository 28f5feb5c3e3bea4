"""How large a study is run: `full`, or `quick` with too few steps to be believed."""

from __future__ import annotations

from typing import Literal

from husai.training.config import TrainingConfig

Scale = Literal["full", "quick"]
SLOW = "a quick run has too few steps for most of its arms: it shows how everything works, and decides next to nothing"


def training(scale: Scale, full: int = 1250, quick: int = 300) -> TrainingConfig:
    """The rate, epsilon and decay at which the quickstart's arms converge, at the first budget of a scale."""
    steps = full if scale == "full" else quick
    return TrainingConfig(steps=steps, batch=448, lr=1.1e-2, eps=3e-2, decay=0.5)


def cap(scale: Scale, full: int = 5000, quick: int = 300) -> int:
    """The largest budget."""
    return full if scale == "full" else quick


def remarks(scale: Scale) -> tuple[str, ...]:
    """What a report must say of the scale."""
    return () if scale == "full" else (SLOW,)
