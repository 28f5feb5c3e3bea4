"""The loss curves of one trained seed, for its run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from husai.report.figure import Axis, Curve, Dot, Figure, Panel, number, spanning
from husai.report.png import write_png


def training_plot(history: Mapping[str, Any], index: int, title: str, path: Path) -> None:
    """Draw every loss term of the seed at `index`, one panel a term.

    `history` is the content of a stack's `history.json`: term -> {steps [n], values [n][seed]}; a term that was not
    measured at a step (None) leaves a gap there.
    """
    panels = []
    for term, curve in sorted(history.items()):
        held = zip(curve["steps"], (values[index] for values in curve["values"]), strict=True)
        dots = tuple(Dot(float(step), value, "arm-0", size=2) for step, value in held if value is not None)
        if dots:
            last = max(number(dot.x) for dot in dots)
            x = Axis("training steps", 0, max(last, 1.0), (0.0, last), ".0f")
            y = spanning(term, [number(dot.y) for dot in dots])
            panels.append(Panel(x, y, [Curve(dots, "arm-0")]))
    write_png(Figure("training", title, f"Loss terms of {title}", panels), path)
