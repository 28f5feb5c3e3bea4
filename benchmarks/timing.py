"""Blocks of steps of several tools, one after the other within each repeat, so that a slow minute is slow for all."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.machine import finish

# A run of under 1,000 steps in all: no tool's latents can count as dead in it (SAELens: 1,000 steps without firing).
MOST_STEPS = 900


@dataclass
class Timed:
    """One tool at one size. `step(i)` is its i-th complete step and advances `saes` SAEs; `ms` is per step and SAE."""

    name: str
    step: Callable[[int], None]
    saes: int = 1
    done: int = 0
    ms: list[float] = field(default_factory=list)

    def run(self, steps: int, device: str) -> float:
        """Seconds that the next `steps` steps take."""
        finish(device)
        start = time.perf_counter()
        for index in range(self.done, self.done + steps):
            self.step(index)
        finish(device)
        self.done += steps
        return time.perf_counter() - start


def warm_up(tool: Timed, steps: int, device: str) -> float:
    """Seconds of one step, after `steps` that are not counted (compilation, first touch of memory, thread pools)."""
    tool.run(steps, device)
    return tool.run(1, device)


def block_steps(seconds_per_step: float, block_seconds: float, repeats: int) -> int:
    """Steps of a block: enough for `block_seconds`, one when a step takes longer, few enough for MOST_STEPS in all."""
    wanted = int(np.ceil(block_seconds / max(seconds_per_step, 1e-9)))
    return max(1, min(wanted, MOST_STEPS // repeats))


def interleave(tools: Sequence[Timed], repeats: int, block_seconds: float, warm_steps: int, device: str) -> None:
    """Fill `ms` of every tool with `repeats` readings; the tool that begins changes from repeat to repeat."""
    gc.collect()
    steps = [block_steps(warm_up(tool, warm_steps, device), block_seconds, repeats) for tool in tools]
    for repeat in range(repeats):
        for offset in range(len(tools)):
            at = (repeat + offset) % len(tools)
            seconds = tools[at].run(steps[at], device)
            tools[at].ms.append(1e3 * seconds / (steps[at] * tools[at].saes))


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(np.median(values))


def quartiles(values: Sequence[float]) -> list[float]:
    """First and third."""
    return [float(q) for q in np.quantile(values, [0.25, 0.75])]
