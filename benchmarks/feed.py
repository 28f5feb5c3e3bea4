"""How long a step waits for its rows when they come from a memory map: `python -m benchmarks.feed`."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.machine import describe, limit_threads

if TYPE_CHECKING:
    from husai.activations.cache import ActivationCache
    from husai.activations.supply import Spent

BLOCK = 8192


@dataclass(frozen=True)
class Case:
    """Sizes of the rows and of the training."""

    rows: int
    d_in: int
    d_sae: int
    k: int
    batch: int
    seeds: int
    steps: int
    in_memory: bool

    def __str__(self) -> str:
        size = f"d_in {self.d_in}, d_sae {self.d_sae}, k {self.k}, batch {self.batch}, seeds {self.seeds}"
        return f"{size}, {self.steps} steps, {4e-9 * self.rows * self.d_in:.2f} GB of rows"


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Train a few steps with and without looking ahead; a line for each."""
    options = vars(_parser().parse_args(arguments))
    limit_threads(options.pop("threads"))
    folder = options.pop("folder")
    case = Case(**options)
    print(", ".join(f"{name} {value}" for name, value in describe(_device()).items()))
    print(case, flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        cache = write(case, Path(place) / "rows")
        return [_told(row) for row in _measured(case, cache)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feed", description="share of a step spent waiting")
    sizes = {"rows": 65_536, "d-in": 1024, "d-sae": 8192, "k": 32, "batch": 4096, "seeds": 1, "steps": 12}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default: {default}")
    parser.add_argument("--in-memory", action="store_true", help="from memory instead of the map")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of every library (default: their own choice)")
    parser.add_argument("--folder", type=Path, help="where the rows are written (default: the system's temporary one)")
    return parser


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def write(case: Case, folder: Path) -> ActivationCache:
    """Activations of noise: what the numbers are makes no difference to how long they take."""
    from husai.activations.manifest import Origin
    from husai.activations.writer import ShardWriter
    from husai.seeds import Role, generator

    draw = generator(0, Role.AUXILIARY)
    origin = Origin(kind="external", synthetic=True, description="noise, to be timed")
    writer = ShardWriter(folder, case.d_in, origin)
    for start in range(0, case.rows, BLOCK):
        writer.append(draw.standard_normal((min(BLOCK, case.rows - start), case.d_in), dtype=np.float32))
    return writer.close()


def _measured(case: Case, cache: ActivationCache) -> Iterator[dict[str, Any]]:
    train(case, cache, 0, cold=False, steps=2)  # compiles
    for place in ("in memory",) if case.in_memory else ("on disk", "in the page cache"):
        for ahead in (0, 2):
            engine, spent = train(case, cache, ahead, cold=place == "on disk", steps=case.steps)
            yield {
                "rows": place,
                "ahead": ahead,
                "engine": engine,
                "ms": 1e3 * spent.seconds / case.steps,
                "share": spent.share,
            }


def train(case: Case, of: ActivationCache, ahead: int, *, cold: bool, steps: int) -> tuple[str, Spent]:
    """Engine and time of `steps` steps from a fresh map, whose pages are on the disk only if `cold`."""
    from husai.activations.cache import ActivationCache
    from husai.activations.scaling import Scaling
    from husai.activations.stream import Batches, Feed
    from husai.activations.supply import Supply
    from husai.saes.config import TopKConfig
    from husai.training.config import TrainingConfig
    from husai.training.engines.choose import choose
    from husai.training.state import start

    cache, seeds = ActivationCache(of.folder), tuple(range(case.seeds))
    config, training = TopKConfig(d_sae=case.d_sae, k=case.k), TrainingConfig(batch=case.batch)
    feed = Feed(cache, Batches(len(cache), case.batch, 0, seeds), Scaling.of(cache), in_memory=case.in_memory)
    (_drop if cold else _read)(cache)
    state, (engine, _) = start(config, training, case.d_in, seeds, 0), choose(config, training)
    with Supply(feed.batch, 0, steps, ahead) as batches:
        for _ in range(steps):
            engine.step(state, batches.take(), training.lr)
        engine.sync(state)
    return engine.name, batches.spent


def _drop(cache: ActivationCache) -> None:
    """Have the system forget the shards, as it would if they were larger than the memory."""
    for path in cache.folder.glob("shard-*"):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _read(cache: ActivationCache) -> None:
    for block in cache.blocks(BLOCK):
        block.sum()


def _told(row: dict[str, Any]) -> dict[str, Any]:
    step = f"{row['ms']:.4g} ms a step with engine {row['engine']}"
    waiting = f"{row['share']:.2%} of it waiting ({row['share'] * row['ms']:.3g} ms)"
    print(f"{row['rows']}, {row['ahead']} ahead: {step}, {waiting}", flush=True)
    return row


if __name__ == "__main__":
    main()
