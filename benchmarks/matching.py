"""Time and memory of husai's matching metrics beside the plain way, at several sizes: `python -m benchmarks.matching`.

Every reading is a process of its own (`matching_worker`); within a repeat the methods run one after the other, and the
one that begins changes from repeat to repeat. Nothing is appended anywhere: numbers go to stdout and to `--json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.matching_data import Size, make, parse

ROOT = Path(__file__).resolve().parent.parent
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SIZES = "1024x256,4096x512,8192x512,16384x1024,32768x1024,65536x1024"
REPEATS_UP_TO = 8192  # features: beyond it one reading, unless --repeats-large says otherwise
ONE_METRIC, ALL_METRICS = ("plain", "husai", "sparse"), ("plain_all", "husai_all", "sparse_all")
START_SECONDS = 1.0  # of the process of a reading
PLAIN_BYTES = 20  # per pair of features: the matrix in float32, the solver's copy in float64, its negative


@dataclass
class Readings:
    """Of one method at one size."""

    size: Size
    method: str
    taken: list[dict[str, Any]] = field(default_factory=list)
    why_not: str = ""

    def row(self) -> dict[str, Any]:
        """Medians and quartiles; null, with the reason, where nothing ran."""
        row: dict[str, Any] = {"features": self.size.features, "width": self.size.width, "seeds": self.size.seeds}
        row |= {"method": self.method, "n": len(self.taken), "why_not": self.why_not}
        seconds = [reading["seconds"] for reading in self.taken]
        row["seconds"] = float(np.median(seconds)) if seconds else None
        row["quartiles"] = [float(q) for q in np.quantile(seconds, [0.25, 0.75])] if seconds else None
        row["cpu_seconds"] = float(np.median([r["cpu_seconds"] for r in self.taken])) if seconds else None
        row["peak_gib"] = max(r["peak_bytes"] for r in self.taken) / 2**30 if seconds else None
        rest = {"seconds", "cpu_seconds", "peak_bytes"}
        return row | {key: value for key, value in (self.taken[-1] if seconds else {}).items() if key not in rest}


class Progress:
    """Says after each reading what it took and how long the rest may take."""

    def __init__(self, planned: Sequence[tuple[Size, str]]) -> None:
        self.planned = list(planned)
        self.seen: dict[tuple[str, Size], float] = {}

    def told(self, size: Size, method: str, seconds: float) -> None:
        """One reading is done."""
        if (size, method) in self.planned:
            self.planned.remove((size, method))
        self.seen[method, size] = seconds
        rest = sum(START_SECONDS + self._guess(*left) for left in self.planned)
        line = f"{size} {method}: {seconds:.3g} s; {len(self.planned)} readings left, about {rest / 60:.1f} min"
        print(line, file=sys.stderr, flush=True)

    def _guess(self, size: Size, method: str) -> float:
        """As long as the last reading; else scaled by the number of products from the nearest size that was read."""
        if (method, size) in self.seen:
            return self.seen[method, size]
        known = [(s, t) for (_, s), t in self.seen.items()]
        nearest, seconds = min(known, key=lambda pair: abs(np.log(_products(pair[0]) / _products(size))))
        return seconds * _products(size) / _products(nearest)


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Read every size; print and write its rows at once, so that a stopped run leaves what it has."""
    options = _parser().parse_args(arguments)
    facts = machine(options.threads)
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    progress = Progress(list(_planned(options)))
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        rows += [readings.row() | {"machine": facts} for readings in _read(size, options, progress)]
        print(table(rows[-len(_methods(size, options)) :], header=size == options.sizes[0]), flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return rows


def table(rows: Sequence[dict[str, Any]], header: bool = True) -> str:
    """Rows of a Markdown table; `-` where nothing ran."""
    names = ("size", "method", "n", "seconds", "quartiles", "CPU seconds", "peak GiB", "mcc_signed", "gap")
    lines = [_line(names), _line(["---"] * len(names))] if header else []
    for row in rows:
        size = str(Size(row["features"], row["width"], row["seeds"]))
        quartiles = " to ".join(_digits(q) for q in row["quartiles"] or ()) or "-"
        cells = [size, row["method"], str(row["n"]), _digits(row["seconds"]), quartiles]
        cells += [_digits(row["cpu_seconds"]), _digits(row["peak_gib"])]
        score = row.get("mcc_signed")
        cells += [row["why_not"] or ("-" if score is None else f"{score:.6f}"), _digits(row.get("gap"))]
        lines.append(_line(cells))
    return "\n".join(lines)


def machine(threads: int | None) -> dict[str, Any]:
    """What a time means nothing without."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    facts: dict[str, Any] = {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count()}
    facts |= {"threads": threads or "as the libraries choose", "python": platform.python_version()}
    return facts | {name: version(name) for name in ("numpy", "scipy", "numba", "husai")}


def _read(size: Size, options: argparse.Namespace, progress: Progress) -> list[Readings]:
    found = [Readings(size, method) for method in _methods(size, options)]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = make(size, Path(folder) / "W.npy")
        for repeat in range(_repeats(size, options)):
            for offset in range(len(found)):
                one = found[(repeat + offset) % len(found)]
                one.why_not = one.why_not or _too_large(size, one.method, options.memory_gib)
                if not one.why_not:
                    progress.told(size, one.method, _take(one, path, options.threads))
    return found


def _take(readings: Readings, path: Path, threads: int | None) -> float:
    """One more reading; its seconds."""
    start = time.perf_counter()
    environment = dict(os.environ) | ({pool: str(threads) for pool in POOLS} if threads else {})
    command = [sys.executable, "-m", "benchmarks.matching_worker", readings.method, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode == 0:
        readings.taken.append(json.loads(done.stdout.splitlines()[-1]))
        return readings.taken[-1]["seconds"]
    said = done.stderr.strip().splitlines() or ["no message"]
    readings.why_not = f"ended with {done.returncode}: {said[-1]}"
    print(f"{readings.size} {readings.method}: {readings.why_not}", file=sys.stderr, flush=True)
    return time.perf_counter() - start


def _methods(size: Size, options: argparse.Namespace) -> tuple[str, ...]:
    """`sparse` is what husai does anyway above the switch."""
    from husai.stability.tiles import held_whole

    if size.seeds > 2:
        return ("husai_seeds",)
    wanted = (*ONE_METRIC, *ALL_METRICS) if options.all_metrics else ONE_METRIC
    whole = held_whole(size.features, size.features)
    return tuple(method for method in wanted if whole or not method.startswith("sparse"))


def _planned(options: argparse.Namespace) -> Iterator[tuple[Size, str]]:
    for size in options.sizes:
        for method in _methods(size, options):
            if not _too_large(size, method, options.memory_gib):
                yield from [(size, method)] * _repeats(size, options)


def _repeats(size: Size, options: argparse.Namespace) -> int:
    return options.repeats if size.features <= REPEATS_UP_TO else options.repeats_large


def _too_large(size: Size, method: str, memory_gib: float) -> str:
    needed = PLAIN_BYTES * size.features**2 / 2**30
    return f"would need {needed:.0f} GiB" if method.startswith("plain") and needed > memory_gib else ""


def _products(size: Size) -> float:
    return float(size.features) ** 2 * size.width * size.seeds * (size.seeds - 1)


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matching", description="matching metrics, timed")
    add = parser.add_argument
    add("--sizes", type=_sizes, default=_sizes(SIZES), metavar="SIZES", help="FEATURESxWIDTH or ...xSEEDS, with commas")
    add("--repeats", type=int, default=5, metavar="N", help=f"readings up to {REPEATS_UP_TO} features (default: 5)")
    add("--repeats-large", type=int, default=1, metavar="N", help="readings above (default: 1)")
    add("--all-metrics", action="store_true", help="also mcc_signed, mcc_abs and mean_max_cos together")
    add("--threads", type=int, metavar="N", help="threads of every library (default: their own choice)")
    add("--memory-gib", type=float, default=16.0, metavar="G", help="leave out the plain way where it needs more")
    add("--folder", type=Path, metavar="FOLDER", help="where dictionaries are written meanwhile (default: temporary)")
    add("--json", type=Path, metavar="FILE", help="where the rows are written")
    return parser


def _sizes(text: str) -> list[Size]:
    try:
        return [parse(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
