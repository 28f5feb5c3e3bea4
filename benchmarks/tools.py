"""husai and the peers as tools that can be timed, on the same batches."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from torch import Tensor

from benchmarks.husai_engine import make
from benchmarks.options import Options
from benchmarks.peers.registry import PEERS
from benchmarks.sizes import Size
from benchmarks.timing import Timed, warm_up

HUSAI = "husai"
TRIAL_STEPS = 2


def make_tool(name: str, setting: str, size: Size, x_NBD: Tensor, device: str) -> Timed:
    """`husai` (setting: an engine) advances `size.seeds` SAEs a step, each on its own batch; a peer advances one."""
    if name == HUSAI:
        return husai(size, x_NBD, device, setting)[0]
    return _peer(name, setting, size, x_NBD, device)


def husai(size: Size, x_NBD: Tensor, device: str, engine: str) -> tuple[Timed, str]:
    """husai's tool, and which engine was chosen and why."""
    made, groups = make(size, device, engine), len(x_NBD) // size.seeds
    x_GSBD = x_NBD[: groups * size.seeds].unflatten(0, (groups, size.seeds))
    tool = Timed(HUSAI, lambda index: made.step(x_GSBD[index % groups]), saes=size.seeds)
    return tool, f"engine {made.engine} ({made.why})"


def _peer(name: str, setting: str, size: Size, x_NBD: Tensor, device: str) -> Timed:
    step = PEERS[name].make(size, 0, device, setting)
    return Timed(name, lambda index: step(x_NBD[index % len(x_NBD)]))


@dataclass(frozen=True)
class Tried:
    """A peer that is ready to be timed, its setting, and ms of a step in every setting that was tried; or why not."""

    tool: Timed | None
    setting: str
    tried: dict[str, float]
    reason: str = ""


def ready(name: str, size: Size, x_NBD: Tensor, options: Options) -> Tried:
    """A peer in the fastest of its settings, or in its default one where that was asked for. Failures are printed."""
    reason, milliseconds = PEERS[name].available(), dict[str, float]()
    if reason:
        return Tried(None, "", {}, reason)
    settings = PEERS[name].settings(options.device)
    for setting in settings[:1] if options.peer_settings == "default" else settings:
        try:
            tool = _peer(name, setting, size, x_NBD, options.device)
            seconds = min(warm_up(tool, TRIAL_STEPS, options.device), tool.run(1, options.device))
            milliseconds[setting] = 1e3 * seconds
        except (RuntimeError, MemoryError, TypeError, ValueError, AttributeError) as error:
            reason = f"{setting}: {repr(error).splitlines()[0][:160]}"
            print(f"  {name} does not run with {reason}", file=sys.stderr, flush=True)
    if not milliseconds:
        return Tried(None, "", {}, reason)
    best = min(milliseconds, key=milliseconds.__getitem__)
    return Tried(_peer(name, best, size, x_NBD, options.device), best, milliseconds)
