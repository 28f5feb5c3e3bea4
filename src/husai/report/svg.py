"""A panel as inline SVG: colours from the page's style sheet, and on every mark the reference of what it stands for."""

from __future__ import annotations

import base64
from functools import singledispatch
from html import escape

from husai.report.cells import Number, Words
from husai.report.figure import Axis, Coordinate, Curve, Dot, Item, Label, Panel, Picture, Stroke, number
from husai.report.pixels import png_bytes


def svg(panel: Panel, alt: str) -> str:
    """Markup of a panel; it scales with its box and never needs a file from elsewhere."""
    left, right, bottom, top = panel.box
    axes = f"{_axis_data('x', panel.x, left, right)} {_axis_data('y', panel.y, bottom, top)}"
    size = f'viewBox="0 0 {panel.width:g} {panel.height:g}" width="{panel.width:g}" height="{panel.height:g}"'
    inside = [*_frame(panel), *(draw(item, panel) for item in panel.items)]
    return f'<svg class="plot" role="img" aria-label="{escape(alt)}" {size} {axes}>\n' + "\n".join(inside) + "\n</svg>"


def _axis_data(name: str, axis: Axis, first: float, last: float) -> str:
    return f'data-axis-{name}="{axis.low!r} {axis.high!r} {first:g} {last:g} {axis.scale}"'


def _frame(panel: Panel) -> list[str]:
    left, right, bottom, top = panel.box
    made = []
    for tick in panel.x.ticks:
        x = panel.x.place(tick, left, right)
        made.append(f'<line class="grid" x1="{x:.1f}" y1="{bottom:g}" x2="{x:.1f}" y2="{top:g}"/>')
        made.append(_tick("x", panel.x, tick, f'x="{x:.1f}" y="{bottom + 18:g}" text-anchor="middle"'))
    for tick in panel.y.ticks:
        y = panel.y.place(tick, bottom, top)
        made.append(f'<line class="grid" x1="{left:g}" y1="{y:.1f}" x2="{right:g}" y2="{y:.1f}"/>')
        where = f'x="{left - 7:g}" y="{y:.1f}" text-anchor="end" dominant-baseline="middle"'
        made.append(_tick("y", panel.y, tick, where))
    for at, name in panel.x.names:
        x = panel.x.place(at, left, right)
        made.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 18:g}" text-anchor="middle">{escape(name)}</text>')
    return made + _axis_labels(panel)


def _axis_labels(panel: Panel) -> list[str]:
    left, right, bottom, top = panel.box
    middle, height = (left + right) / 2, (bottom + top) / 2
    x = f'<text class="axis" x="{middle:g}" y="{bottom + 36:g}" text-anchor="middle">{escape(panel.x.label)}</text>'
    y = (
        f'<text class="axis" transform="translate(13 {height:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(panel.y.label)}</text>"
    )
    return [x, *([y] if panel.y.label else [])]


def _tick(axis_name: str, axis: Axis, tick: float, where: str) -> str:
    data = f'data-axis="{axis_name}" data-tick="{tick!r}" data-format="{axis.format}"'
    return f'<text class="tick" {where} {data}>{axis.tick_text(tick)}</text>'


def _at(edge: str, at: Coordinate, panel: Panel) -> str:
    """An attribute of place, with the reference of the number that it stands for."""
    left, right, bottom, top = panel.box
    horizontal = "x" in edge
    axis, first, last = (panel.x, left, right) if horizontal else (panel.y, bottom, top)
    made = f'{edge}="{axis.place(number(at), first, last):.1f}"'
    return f'{made} data-at-{edge}="{escape(at.at)}"' if isinstance(at, Number) else made


@singledispatch
def draw(item: Item, panel: Panel) -> str:
    """Markup of one item."""
    raise TypeError(f"no drawing for {type(item).__name__}")


@draw.register
def _(item: Dot, panel: Panel) -> str:
    style = f"dot {item.tone}{' hollow' if item.hollow else ''}"
    title = _title(item.title) if item.title else ""
    place = f'{_at("cx", item.x, panel)} {_at("cy", item.y, panel)} r="{item.size:g}"'
    made = f'<circle class="{style}" {place}>{title}</circle>'
    if not item.letter:
        return made
    where = f"{_at('x', item.x, panel)} {_at('y', item.y, panel)}"
    letter = (
        f'<text class="letter {style}" {where} text-anchor="middle" dominant-baseline="central">{item.letter}</text>'
    )
    return made + letter


def _title(title: str | Words) -> str:
    """What a pointer shows; words of a record bring their reference."""
    if isinstance(title, str):
        return f"<title>{escape(title)}</title>"
    return f'<title data-ref="{escape(title.ref)}" data-part="{title.part}">{escape(title.text)}</title>'


@draw.register
def _(item: Stroke, panel: Panel) -> str:
    ends = " ".join(_at(edge, getattr(item, edge), panel) for edge in ("x1", "y1", "x2", "y2"))
    dashed = " dashed" if item.dashed else ""
    return f'<line class="stroke {item.tone}{dashed}" {ends} stroke-width="{item.width:g}"/>'


@draw.register
def _(item: Curve, panel: Panel) -> str:
    left, right, bottom, top = panel.box
    places = [
        (panel.x.place(number(dot.x), left, right), panel.y.place(number(dot.y), bottom, top)) for dot in item.dots
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    line = f'<polyline class="stroke {item.tone}{" dashed" if item.dashed else ""}" points="{points}"/>'
    return "\n".join(["<g>", line, *(draw(dot, panel) for dot in item.dots), "</g>"])


@draw.register
def _(item: Label, panel: Panel) -> str:
    left, right, bottom, top = panel.box
    x, y = panel.x.place(item.x, left, right), panel.y.place(item.y, bottom, top)
    small = ' text-anchor="middle" dominant-baseline="central"' if item.small else ""
    style = f"label {item.tone}{' small' if item.small else ''}"
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}"{small}>{escape(item.text)}</text>'


@draw.register
def _(item: Picture, panel: Panel) -> str:
    left, right, bottom, top = panel.box
    data = base64.b64encode(png_bytes(item.pixels)).decode()
    place = f'x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"'
    return (
        f'<image class="cells" preserveAspectRatio="none" {place} data-artefact="{escape(item.artefact)}" '
        f'href="data:image/png;base64,{data}"/>'
    )
