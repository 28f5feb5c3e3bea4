"""Figures: ticks, places, and one description that draws itself as SVG and as PNG."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from husai.report.cells import Number
from husai.report.figure import Axis, Curve, Dot, Figure, Label, Panel, Picture, Stroke, spanning, ticks
from husai.report.figures import forest, over_steps, point
from husai.report.pixels import png_bytes, signed_cells
from husai.report.png import write_png
from husai.report.svg import svg
from husai.report.training import training_plot
from husai.report.view import View
from husai.store.record import Interval, Measurement

HERE = Number(0.5, "0" * 16 + "#m")


@given(low=st.floats(-1e6, 1e6), size=st.floats(1e-3, 1e6))
def test_ticks_are_round_few_and_inside(low: float, size: float) -> None:
    found = ticks(low, low + size)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-6 * size <= t <= low + size + 1e-6 * size for t in found)
    assert list(found) == sorted(set(found))


@example(values=[0.0, 5e-324])
@example(values=[1000.0, 1000.0000000001])
@example(values=[425.0, 428.25])
@given(values=st.lists(st.floats(-1e3, 1e3), min_size=0, max_size=9))
def test_an_axis_holds_its_values(values: list[float]) -> None:
    axis = spanning("x", values)
    assert axis.low < axis.high
    for v in values:
        assert axis.low <= v <= axis.high
        assert 0 <= axis.place(v, 0, 100) <= 100


def test_logarithmic_axis() -> None:
    axis = Axis("steps", 0, 999, scale="log")
    assert axis.place(0, 10, 40) == 10 and axis.place(999, 10, 40) == pytest.approx(40)
    assert axis.place(9, 0, 3) == pytest.approx(math.log10(10))


def panel() -> Panel:
    items = [
        Dot(HERE, 0.25, "arm-0", letter="T", title="target"),
        Dot(0.1, 0.2, "arm-1", hollow=True),
        Stroke(0.0, 0.0, HERE, 1.0, "ink", dashed=True),
        Stroke(0.1, 0.5, 0.2, 0.5, "band", 40),
        Curve((Dot(0.1, 0.2, "arm-0"), Dot(0.3, 0.4, "arm-0")), "arm-0", dashed=True),
        Label(0.1, 0.9, "gaussian & <co>"),
    ]
    return Panel(Axis("x", 0, 1, (0.0, 0.5), names=((0.9, "dead"),)), Axis("y", 0, 1, (0.0,)), items)


def test_svg_marks_stand_at_their_numbers() -> None:
    drawn = svg(panel(), "an <alt>")
    left, right, bottom, top = panel().box
    assert (
        f'cx="{(left + right) / 2:.1f}" data-at-cx="{HERE.ref}|value" cy="{bottom + 0.25 * (top - bottom):.1f}"'
        in drawn
    )
    assert 'aria-label="an &lt;alt&gt;"' in drawn and "gaussian &amp; &lt;co&gt;" in drawn
    assert drawn.count("<circle") == 4 and drawn.count("<polyline") == 1
    assert 'data-tick="0.5"' in drawn and ">dead</text>" in drawn


def test_png_of_every_mark_is_the_same_twice(tmp_path: Path) -> None:
    pixels = signed_cells(np.eye(3), (1, 2, 3), (4, 5, 6))
    steps = Axis("steps", 0, 100, (0.0, 100.0), scale="log")
    cells = Panel(Axis("a", 0, 1), Axis("b", 1, 0), [Picture(pixels, "plots/x.png")], title="k2")
    figure = Figure("f", "Figure", "alt", [panel(), cells, Panel(steps, Axis("y", 0, 1), [Dot(16.0, 0.5, "ink")])])
    for name in ("a.png", "b.png"):
        write_png(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    write_png(Figure("f", "Nothing", "alt", []), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 500


def test_pixels_come_back(tmp_path: Path) -> None:
    from matplotlib.image import imread

    values = np.array([[1.0, -0.5], [0.0, np.nan]])
    pixels = signed_cells(values, (10, 20, 30), (40, 50, 60))
    assert pixels[..., 3].tolist() == [[255, 128], [0, 0]]
    assert pixels[0, 0, :3].tolist() == [10, 20, 30] and pixels[0, 1, :3].tolist() == [40, 50, 60]
    read = imread(io.BytesIO(png_bytes(pixels)), format="png")
    assert (np.rint(read * 255) == pixels).all()


def test_forest_shows_every_contrast_and_the_margin(built_study: Any) -> None:
    view = View.of(built_study.record, built_study.upstream)
    (drawn,) = forest(view).panels
    names = [item.text for item in drawn.items if isinstance(item, Label)]
    assert names == [
        "target beyond gaussian", "target beyond random_model", "gaussian beyond gaussian-2",
        "planted beyond planted-gaussian",
    ]  # fmt: skip
    dots = [item for item in drawn.items if isinstance(item, Dot)]
    assert len(dots) == 2 * len(names)
    assert [s.x2 for s in drawn.items if isinstance(s, Stroke) and s.tone == "band"] == [view.margin]
    strokes = [item for item in drawn.items if isinstance(item, Stroke) and item.tone in ("ink", "muted")]
    assert len([s for s in strokes if isinstance(s.x1, Number) and s.x1.part == "low"]) == 3 * len(names)


def test_points_that_are_missing_are_not_drawn(built_study: Any) -> None:
    view = View.of(built_study.record, built_study.upstream)
    curves = [item for p in over_steps(view).panels for item in p.items if isinstance(item, Curve)]
    assert [len(curve.dots) for curve in curves] == [3, 3, 3, 3, 2, 2, 2, 2]  # the last cosine to init is null
    bare = Measurement(name="m", value=0.0, unit="u")
    assert point(None, "r") is None and point(bare, "r", "low") is None
    zero = point(bare, "r")
    assert zero is not None and zero.value == 0.0
    one = Interval(low=None, high=1.0, level=0.9, method="t")
    assert point(bare.model_copy(update={"interval": one}), "r", "low") is None


def test_training_plot(tmp_path: Path) -> None:
    history = {
        "mse": {"steps": [0, 10, 20], "values": [[1.0, 2.0], [0.5, None], [0.25, 0.5]]},
        "aux": {"steps": [0, 10], "values": [[None, None], [None, None]]},
    }
    for seed in (0, 1):
        training_plot(history, seed, "target k2", tmp_path / f"{seed}.png")
    training_plot({}, 0, "nothing yet", tmp_path / "none.png")
    sizes = {p.name: p.stat().st_size for p in tmp_path.iterdir()}
    assert len(sizes) == 3 and min(sizes.values()) > 1000
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()
