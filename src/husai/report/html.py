"""Cells as HTML, each with its reference; the audit of the store reads what stands here."""

from __future__ import annotations

from functools import singledispatch

from markupsafe import Markup

from husai.report.cells import Cell, Digest, Flag, Missing, Number, Small, Words


@singledispatch
def html(cell: object) -> Markup:
    """Markup of a cell."""
    raise TypeError(f"no markup for {type(cell).__name__}")


@html.register
def _(cell: str) -> Markup:
    return Markup.escape(cell)


@html.register
def _(cell: tuple) -> Markup:
    return Markup("").join(html(part) for part in cell)


@html.register
def _(cell: Number) -> Markup:
    return Markup('<data value="{}" data-ref="{}" data-part="{}" data-format="{}">{}</data>').format(
        repr(cell.value), cell.ref, cell.part, cell.format, cell.text
    )


@html.register
def _(cell: Words) -> Markup:
    style = Markup(' class="{}"').format(cell.style) if cell.style else ""
    if not cell.ref:
        return Markup("<span{}>{}</span>").format(style, cell.text)
    return Markup('<span{} data-ref="{}" data-part="{}">{}</span>').format(style, cell.ref, cell.part, cell.text)


@html.register
def _(cell: Flag) -> Markup:
    style = "quiet" if cell.plain else "flag yes" if cell.value else "flag no"
    return Markup('<span class="{}" data-ref="{}" data-yes="{}" data-no="{}">{}</span>').format(
        style, cell.ref, cell.yes, cell.no, cell.text
    )


@html.register
def _(cell: Missing) -> Markup:
    if not cell.ref:
        return Markup('<span class="missing">{}</span>').format(cell.text)
    form = "short" if cell.short else "whole"
    return Markup('<span class="missing" data-missing="{}" data-ref="{}" data-part="{}">{}</span>').format(
        form, cell.ref, cell.part, cell.text
    )


@html.register
def _(cell: Digest) -> Markup:
    return Markup('<span class="digest name" data-digest="{}">{}</span>').format(cell.run, cell.text)


@html.register
def _(cell: Small) -> Markup:
    return Markup('<small class="interval">{}</small>').format(html(cell.parts))


def blank(cell: Cell) -> bool:
    """Whether a cell shows nothing."""
    return cell == "" or cell == ()
