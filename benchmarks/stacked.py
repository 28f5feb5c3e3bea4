"""husai's seeds trained as one stack, against the same seeds trained one after the other."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.data import batch_count, make_batches
from benchmarks.options import Options
from benchmarks.rows import Row, spread
from benchmarks.sizes import Size
from benchmarks.timing import interleave, median
from benchmarks.tools import husai


def stacked_row(size: Size, options: Options) -> Row:
    """ms per step and SAE of a stack of `size.seeds`, of one alone, and alone over stacked (above 1: stacking pays).

    Seeds that are trained one after the other each take what one alone takes, so one is timed: a second one in between
    would only push it out of the caches.
    """
    x_NBD = make_batches(size, batch_count(size), options.device)
    together, engine = husai(size, x_NBD, options.device, options.engine)
    alone, engine_alone = husai(size.with_seeds(1), x_NBD, options.device, options.engine)
    together.name, alone.name = "stacked", "alone"
    interleave([together, alone], options.repeats, options.block_seconds, options.warm_up, options.device)
    ms = {tool.name: median(tool.ms) for tool in (together, alone)}
    row: Row = asdict(size) | {"ms_stacked": ms["stacked"], "ms_alone": ms["alone"]}
    row |= {"ratio_alone": ms["alone"] / ms["stacked"]}
    about: dict[str, Row] = {"stacked": {"setting": engine}, "alone": {"setting": engine_alone}}
    return row | {"spread": spread([together, alone], about, options)}
