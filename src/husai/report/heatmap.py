"""Cosines between the matched features of two seeds: the diagonal is the match, everything else is what it beat."""

from __future__ import annotations

import numpy as np

from husai.report.figure import Axis, Figure, Panel, Picture
from husai.report.pixels import signed_cells
from husai.report.view import View
from husai.store.tensors import load_arrays

SHOWN = 256  # features drawn at most; of more, evenly spaced ones
POSITIVE, NEGATIVE = (31, 138, 148), (214, 106, 42)


def matches(view: View) -> Figure:
    """One panel per arm, on the target."""
    panels = []
    for i, arm in enumerate(view.arms):
        up = view.measure("target", arm)
        path = up.folder / "heatmap.safetensors" if up else None
        if path is None or not path.is_file():
            continue
        picture = Picture(_pixels(load_arrays(path)["cosine_FF"]), f"plots/matches-{arm}-cells.png")
        x = Axis("features of another seed, in the order of their matches", 0, 1)
        y = Axis("features of one seed, best match first", 1, 0)
        panels.append(Panel(x, y, [picture], title=view.arm(i), width=390, height=404, left=28))
    alt = "Cosines between the features of two seeds, ordered by their matches; a strong diagonal means agreement"
    return Figure("matches", "Matched features", alt, panels)


def _pixels(cosine_FF: np.ndarray) -> np.ndarray:
    """Evenly spaced rows and the same columns, so that the diagonal stays the match."""
    n = len(cosine_FF)
    keep = np.unique(np.linspace(0, n - 1, min(n, SHOWN)).round().astype(int)) if n else np.arange(0)
    return signed_cells(cosine_FF[np.ix_(keep, keep)], POSITIVE, NEGATIVE) if n else np.zeros((1, 1, 4), np.uint8)
