"""The sizes that are timed, and how they are written on the command line. Torch-free."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Size:
    """`seeds` TopK SAEs with `d_sae` latents, `k` of them active, on batches of `batch` rows of width `d_in`."""

    d_in: int
    d_sae: int
    k: int
    batch: int
    seeds: int

    def __str__(self) -> str:
        """As `--sizes` takes it, e.g. 512x4096x32x4096x4."""
        return "x".join(str(n) for n in astuple(self))

    def with_seeds(self, seeds: int) -> Size:
        """The same size with another number of seeds."""
        return Size(self.d_in, self.d_sae, self.k, self.batch, seeds)


def parse(text: str) -> Size:
    """`d_in x d_sae x k x batch x seeds` from "512x4096x32x4096x4".

    Raises:
        ValueError: not five positive numbers, or k not below d_in and d_sae.
    """
    parts = text.split("x")
    if len(parts) != 5 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"{text}: write a size as d_in x d_sae x k x batch x seeds, e.g. 512x4096x32x4096x4")
    size = Size(*(int(part) for part in parts))
    if size.k >= min(size.d_in, size.d_sae):
        raise ValueError(f"{text}: k must be below d_in and d_sae")
    return size


def parse_list(text: str) -> tuple[Size, ...]:
    """Sizes separated by commas."""
    return tuple(parse(part.strip()) for part in text.split(",") if part.strip())


CPU_TABLE = parse_list("128x1024x32x4096x5, 512x4096x32x4096x4, 1024x8192x32x4096x1, 2048x16384x32x4096x1")
GPU_TABLE = parse_list("768x24576x32x8192x1, 2304x36864x64x8192x1")
STACK = 8
CPU_STACKED = (Size(128, 256, 32, 512, STACK), *(size.with_seeds(STACK) for size in CPU_TABLE))
GPU_STACKED = (Size(128, 256, 32, 512, STACK), *(size.with_seeds(STACK) for size in GPU_TABLE))


def default_sizes(device: str, stacked: bool) -> tuple[Size, ...]:
    """What is timed when no sizes are named."""
    if device == "cuda":
        return GPU_STACKED if stacked else GPU_TABLE
    return CPU_STACKED if stacked else CPU_TABLE
