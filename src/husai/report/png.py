"""Figures as PNG files through matplotlib: the same marks as on the page, on white, without dates in the file."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from husai.report.cells import plain
from husai.report.figure import Axis, Curve, Dot, Figure, Item, Label, Panel, Picture, Stroke, number
from husai.store.files import write_bytes

COLOURS = {
    "arm-0": "#1f6f8b", "arm-1": "#c2571a", "ink": "#24211d", "muted": "#8a847a", "line": "#8a847a", "band": "#ece6d8",
}  # fmt: skip
PIXELS = 100  # a panel's size in the page's pixels over this is its size in inches
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "husai", "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": "#8a847a", "axes.grid": True, "grid.color": "#ece6d8",
    "axes.axisbelow": True, "xtick.color": "#5c564c", "ytick.color": "#5c564c", "path.simplify": False,
}  # fmt: skip


def write_png(figure: Figure, path: Path, about: Mapping[str, str] | None = None) -> None:
    """Draw all panels of a figure, `figure.columns` in a row; a figure without panels says that there is nothing.

    `about` goes into the file as text; without it, equal figures are equal files.
    """
    _save(figure, path, "png", {"Software": None, **(about or {})})


def write_svg(figure: Figure, path: Path, about: Mapping[str, str]) -> None:
    """The same as vectors, for a paper; the keys of `about` are those of the Dublin Core."""
    _save(figure, path, "svg", {"Date": None, **about})


def _save(figure: Figure, path: Path, form: str, metadata: dict[str, str | None]) -> None:
    """Write whole, and without anything that is not asked for."""
    with rc_context(STYLE):
        canvas = _canvas(figure)
        FigureCanvasAgg(canvas)
        buffer = io.BytesIO()
        canvas.savefig(buffer, format=form, dpi=150, metadata=metadata)
        write_bytes(path, buffer.getvalue())


def _canvas(figure: Figure) -> Canvas:
    columns = min(figure.columns or len(figure.panels), len(figure.panels)) or 1
    rows = max(1, math.ceil(len(figure.panels) / columns))
    widths = [panel.width for panel in figure.panels[:columns]] or [400.0]
    height = max([panel.height for panel in figure.panels] or [120.0])
    names = [plain(name) for _, name in figure.legend]
    beside = _beside(sum(widths), names)
    around = max(110.0, 64.0 + 19.0 * math.ceil(len(names) / beside))
    canvas = Canvas(figsize=(sum(widths) / PIXELS, (rows * height + around) / PIXELS), layout="constrained")
    canvas.suptitle(figure.title, x=0.01, ha="left", weight="bold")
    plots = canvas.subplots(rows, columns, squeeze=False, width_ratios=widths).flatten()
    for panel, plot in zip(figure.panels, plots, strict=False):
        _panel(panel, plot)
    for plot in plots[len(figure.panels) :]:
        plot.set_axis_off()
    if figure.legend:
        handles = [_handle(style, name) for (style, _), name in zip(figure.legend, names, strict=True)]
        canvas.legend(handles=handles, loc="outside lower left", ncols=beside, frameon=False)
    if not figure.panels:
        plots[0].text(0, 0.5, "missing: nothing of this kind is in the record")
    return canvas


def _beside(width: float, names: list[str]) -> int:
    """How many entries of the legend fit in a row; a letter is about 6.6 pixels wide, a sign 50."""
    return max(1, int(width / (6.6 * max([len(name) for name in names] or [1]) + 50)))


def _handle(style: str, name: str) -> Line2D:
    """What stands in the legend for a mark of that style."""
    if style.startswith("letter:"):
        return Line2D([], [], linestyle="", marker=f"${style[7:]}$", color=COLOURS["ink"], label=name)
    if style.startswith("key-line"):
        return Line2D([], [], linestyle="--" if "dashed" in style else "-", color=COLOURS["ink"], label=name)
    tone = next((t for t in COLOURS if t in style.split()), "ink")
    face = "white" if "hollow" in style else COLOURS[tone]
    marker: Any = {"marker": "s" if tone == "band" else "o", "markerfacecolor": face, "markeredgecolor": COLOURS[tone]}
    return Line2D([], [], linestyle="", label=name, **marker)


def _panel(panel: Panel, plot: Any) -> None:
    for item in panel.items:
        draw(item, plot, panel)
    _axis(panel.x, plot.set_xlim, plot.set_xticks, plot.set_xlabel, plot.set_xscale)
    _axis(panel.y, plot.set_ylim, plot.set_yticks, plot.set_ylabel, plot.set_yscale)
    plot.set_title(textwrap.fill(plain(panel.title), max(12, int(panel.width / 8))), loc="left")


def _axis(axis: Axis, limits: Any, ticks: Any, label: Any, scale: Any) -> None:
    if axis.scale == "log":
        scale("function", functions=(_log, _power))
    places = [*axis.ticks, *(at for at, _ in axis.names)]
    ticks(places, labels=[*(axis.tick_text(t) for t in axis.ticks), *(name for _, name in axis.names)])
    limits(axis.low, axis.high)
    label(axis.label)


def _log(values: Any) -> Any:
    return np.log10(1 + np.asarray(values).clip(min=0))


def _power(values: Any) -> Any:
    return 10.0**values - 1


@singledispatch
def draw(item: Item, plot: Any, panel: Panel) -> None:
    """Draw one item."""
    raise TypeError(f"no drawing for {type(item).__name__}")


@draw.register
def _(item: Dot, plot: Any, panel: Panel) -> None:
    colour = COLOURS[item.tone]
    face = "white" if item.hollow else colour
    plot.plot(
        [number(item.x)], [number(item.y)], "o", markersize=1.3 * item.size, markerfacecolor=face,
        markeredgecolor=colour, zorder=3,
    )  # fmt: skip
    if item.letter:
        ink = colour if item.hollow else "white"
        where = {"ha": "center", "va": "center", "fontsize": 6.5, "weight": "bold", "zorder": 4}
        plot.text(number(item.x), number(item.y), item.letter, color=ink, **where)


@draw.register
def _(item: Stroke, plot: Any, panel: Panel) -> None:
    xs, ys = [number(item.x1), number(item.x2)], [number(item.y1), number(item.y2)]
    band = item.tone == "band"
    width, order = item.width * 72 / PIXELS, 0 if band else 2
    style = {"color": COLOURS[item.tone], "solid_capstyle": "butt", "zorder": order}
    if band:  # the margin: from edge to edge of the plot, whatever its height became
        plot.axvspan(*xs, color=COLOURS[item.tone], zorder=0, linewidth=0)
    else:
        plot.plot(xs, ys, "--" if item.dashed else "-", linewidth=width, **style)


@draw.register
def _(item: Curve, plot: Any, panel: Panel) -> None:
    xs, ys = [number(d.x) for d in item.dots], [number(d.y) for d in item.dots]
    plot.plot(xs, ys, "--" if item.dashed else "-", linewidth=1.3, color=COLOURS[item.tone])
    for dot in item.dots:
        draw(dot, plot, panel)


@draw.register
def _(item: Label, plot: Any, panel: Panel) -> None:
    middle: Any = {"ha": "center", "va": "center", "fontsize": 7, "weight": "bold"} if item.small else {"fontsize": 9}
    plot.text(item.x, item.y, item.text, color=COLOURS[item.tone], clip_on=True, zorder=4, **middle)


@draw.register
def _(item: Picture, plot: Any, panel: Panel) -> None:
    extent = (panel.x.low, panel.x.high, panel.y.low, panel.y.high)
    plot.imshow(item.pixels, extent=extent, aspect="auto", interpolation="nearest", origin="upper")
    plot.grid(visible=False)
