"""From templates and content to a page: cells bring their references, figures are drawn in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from husai.report.cells import Cell
from husai.report.figure import Figure
from husai.report.html import html
from husai.report.svg import svg
from husai.report.tables import noted

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, content: Mapping[str, Any]) -> str:
    """A page as HTML; a name that the content lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(c=html, draw=_draw, raw=_raw, noted=noted)
    return environment.get_template(template).render(content)


def _raw(name: str) -> Markup:
    """A style sheet or script, as it stands."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _draw(figure: Figure) -> list[tuple[Cell, Markup]]:
    return [(panel.title, Markup(svg(panel, figure.alt))) for panel in figure.panels]
