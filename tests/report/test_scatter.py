"""Many named points: letters keep out of each other's way, and places turn back into values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.report.cells import Number, Words
from husai.report.figure import Axis, Dot, Label, Panel, Stroke, number
from husai.report.scatter import APART, RADIUS, Mark, scatter
from husai.report.svg import svg

X, Y = Axis("x", 0, 1), Axis("y", 0, 1)
RUN = "0" * 16


def mark(x: float, y: float, letter: str = "A", solid: bool = True) -> Mark:
    ends = (Number(x - 0.01, f"{RUN}#m", "low"), Number(x + 0.01, f"{RUN}#m", "high"))
    return Mark(Number(x, f"{RUN}#m"), Number(y, f"{RUN}#n"), ends, None, letter, Words("8-topk", f"{RUN}@name"), solid)


def place(panel: Panel, x: float, y: float) -> tuple[float, float]:
    left, right, bottom, top = panel.box
    return panel.x.place(x, left, right), panel.y.place(y, bottom, top)


@given(st.lists(st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)), min_size=1, max_size=16))
def test_letters_touch_neither_letters_nor_marks(points: list[tuple[float, float]]) -> None:
    """As many as a survey has architectures, wherever they are."""
    panel = scatter(X, Y, [mark(*p, letter=chr(65 + i)) for i, p in enumerate(points)], [], [], "")
    labels = [place(panel, item.x, item.y) for item in panel.items if isinstance(item, Label)]
    dots = [place(panel, number(item.x), number(item.y)) for item in panel.items if isinstance(item, Dot)]
    assert len(labels) == len(dots) == len(points)
    for i, at in enumerate(labels):
        assert all(math.dist(at, other) >= APART - 1e-6 for other in labels[:i])
        assert all(math.dist(at, dot) >= RADIUS + APART / 2 - 1e-6 for dot in dots)


def test_a_heap_of_points_still_gets_all_its_letters() -> None:
    panel = scatter(X, Y, [mark(0.5, 0.5 + i / 1e4) for i in range(60)], [], [], "")
    assert sum(isinstance(item, Label) for item in panel.items) == 60
    left, right, bottom, top = panel.box
    for item in panel.items:
        if isinstance(item, Label):
            x, y = place(panel, item.x, item.y)
            assert left <= x <= right and top <= y <= bottom


def test_a_letter_far_from_its_mark_has_a_line_to_it() -> None:
    panel = scatter(X, Y, [mark(0.5, 0.5 + i / 1e4) for i in range(16)], [], [], "")
    leaders = [item for item in panel.items if isinstance(item, Stroke) and not isinstance(item.x1, Number)]
    assert leaders
    assert all(isinstance(bar.x1, Number) for bar in mark(0.5, 0.5).bars if isinstance(bar, Stroke))


def test_hollow_marks_are_muted_and_names_bring_their_reference() -> None:
    panel = scatter(X, Y, [mark(0.2, 0.2, solid=False), mark(0.8, 0.8)], [mark(0.8, 0.8)], [], "")
    drawn = svg(panel, "alt")
    assert 'class="dot muted hollow"' in drawn and 'class="label muted small"' in drawn
    assert f'<title data-ref="{RUN}@name" data-part="value">8-topk</title>' in drawn
    assert drawn.count("<circle") == 2 and drawn.count("<polyline") == 1, "what is on the line is drawn there only"


@given(st.floats(0, 900), st.sampled_from(["linear", "log"]))
def test_a_pixel_turns_back_into_its_value(value: float, scale: str) -> None:
    axis = Axis("x", 0, 1000, scale=scale)  # type: ignore[arg-type]
    assert axis.value(axis.place(value, 50, 470), 50, 470) == pytest.approx(value, abs=1e-6)
