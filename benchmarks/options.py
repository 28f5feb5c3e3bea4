"""What a run of the benchmark was asked for. Torch-free."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.sizes import Size, default_sizes, parse_list

T = TypeVar("T")
PEER_NAMES = ("saelens", "dictionary_learning", "sparsify")
LEAST_REPEATS = 7


@dataclass(frozen=True)
class Options:
    """The command line, checked."""

    peers: tuple[str, ...]
    sizes: tuple[Size, ...]
    json: Path | None
    device: str
    engine: str
    peer_settings: str
    threads: int | None
    repeats: int
    block_seconds: float
    warm_up: int
    stacked: bool
    memory: bool


def read(arguments: list[str] | None) -> Options:
    """Options from the command line; a wrong one ends the program with a line that says what to write."""
    given = vars(_parser().parse_args(arguments))
    sizes = given.pop("sizes")
    return Options(sizes=sizes or default_sizes(given["device"], given["stacked"]), **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="complete training steps, timed")
    add = parser.add_argument
    add("--peers", type=_or_error(_peers), default=(), metavar="NAMES", help=f"{','.join(PEER_NAMES)}, some, or ''")
    add(
        "--sizes", type=_or_error(parse_list), default=(), metavar="SIZES", help="d_in x d_sae x k x batch x seeds, ..."
    )
    add("--json", type=Path, metavar="FILE", help="where the rows are written")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--engine", default="auto", help="husai's engine (default: auto)")
    add("--peer-settings", choices=("fastest", "default"), default="fastest", help="of the settings each adapter names")
    add("--threads", type=int, metavar="N", help="threads of every library (default: their own choice)")
    add("--repeats", type=_or_error(_repeats), default=LEAST_REPEATS, metavar="N", help="readings per tool (7 or more)")
    add("--seconds", dest="block_seconds", type=float, default=0.5, help="length of a reading (default: 0.5)")
    add("--warm-up", type=int, default=3, metavar="N", help="steps of each tool that are not counted")
    add("--stacked", action="store_true", help="husai's seeds stacked against alone, instead of husai against peers")
    add("--no-memory", dest="memory", action="store_false", help="leave peak memory out")
    return parser


def _peers(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in PEER_NAMES:
            raise ValueError(f"no peer is named {name}: choose from {', '.join(PEER_NAMES)}")
    return names


def _repeats(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST_REPEATS:
        raise ValueError(f"{text} repeats are too few for a median: take {LEAST_REPEATS} or more")
    return int(text)


def _or_error(read: Callable[[str], T]) -> Callable[[str], T]:
    """Messages of `read` reach the user as they are."""

    def checked(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
