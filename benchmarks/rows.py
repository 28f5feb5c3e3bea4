"""One row of the table: husai, the peers and the encoder product at one size, interleaved."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from benchmarks.data import batch_count, make_batches
from benchmarks.floor import encoder_products
from benchmarks.machine import describe
from benchmarks.memory import peak_mb
from benchmarks.options import PEER_NAMES, Options
from benchmarks.sizes import Size
from benchmarks.timing import Timed, interleave, median, quartiles
from benchmarks.tools import HUSAI, husai, ready

Row = dict[str, Any]
SAELENS, FLOOR = "saelens", "encoder_product"


def table_row(size: Size, options: Options) -> Row:
    """Times are medians in ms per step and SAE; a ratio is a peer's median over husai's; null is what did not run."""
    x_NBD = make_batches(size, batch_count(size), options.device)
    tools, about = _tools(size, x_NBD, options)
    products = encoder_products(size, x_NBD[0], options.device)
    interleave([*tools, *products], options.repeats, options.block_seconds, options.warm_up, options.device)
    floor = min(products, key=lambda product: median(product.ms))
    about[FLOOR], floor.name = {"setting": floor.name}, FLOOR
    ms = {tool.name: median(tool.ms) for tool in (*tools, floor)}
    row: Row = asdict(size) | {"ms_husai": ms[HUSAI], "ms_saelens": ms.get(SAELENS)}
    row |= {f"ratio_{name}": ms[name] / ms[HUSAI] if name in ms else None for name in PEER_NAMES}
    row |= {"ms_encoder_product": ms[FLOOR], "over_floor": ms[HUSAI] / ms[FLOOR]}
    settings = {tool.name: about[tool.name]["setting"] for tool in tools}
    row |= _memory(size, settings | {HUSAI: options.engine}, options)
    return row | {"spread": spread([*tools, floor], about, options)}


def _tools(size: Size, x_NBD: Tensor, options: Options) -> tuple[list[Timed], dict[str, Row]]:
    """husai and the peers that run, and what is to be said of each."""
    tool, engine = husai(size, x_NBD, options.device, options.engine)
    tools, about = [tool], {HUSAI: Row(setting=engine)}
    for name in PEER_NAMES:
        if name not in options.peers:
            note(f"{name} was not asked for (--peers)")
            continue
        peer = ready(name, size, x_NBD, options)
        about[name] = {"setting": peer.setting, "ms_tried": peer.tried}
        if peer.tool is None:
            note(f"{name} did not run: {peer.reason}")
        else:
            tools.append(peer.tool)
    return tools, about


def _memory(size: Size, settings: dict[str, str], options: Options) -> Row:
    """Peaks of husai with all its seeds at once, and of SAELens with its one SAE."""
    peaks: Row = {f"peak_mb_{name}": None for name in (HUSAI, SAELENS)}
    for name in (HUSAI, SAELENS):
        if options.memory and name in settings:
            peak, reason = peak_mb(name, settings[name], size, options.device, options.threads)
            peaks[f"peak_mb_{name}"] = peak
            note(reason)
    return peaks


def spread(tools: Sequence[Timed], about: dict[str, Row], options: Options) -> Row:
    """How the readings scatter: median and quartiles of each tool, and of its ratio to the first within each repeat."""
    found: Row = {"repeats": options.repeats, **describe(options.device)}
    for tool in tools:
        ratios = [mine / first for mine, first in zip(tool.ms, tools[0].ms, strict=True)]
        found[tool.name] = {"ms": median(tool.ms), "iqr": quartiles(tool.ms), "ratio_iqr": quartiles(ratios)}
        found[tool.name] |= about[tool.name]
    return found


def note(text: str) -> None:
    """Say beside the table why something is missing; nothing when there is nothing to say."""
    if text:
        print(f"  {text}", file=sys.stderr, flush=True)
