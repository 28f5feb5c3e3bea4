"""Stability over training steps: a small panel for each arm of a setting, all on the same axes."""

from __future__ import annotations

import math

from husai.report.cells import Cell, Number
from husai.report.figure import Axis, Curve, Dot, Figure, Item, Panel, Tone, number, spanning
from husai.report.survey_view import ArmView, SurveyView
from husai.report.view import STATISTIC, Upstream

FILE = "trajectory.json"
CURVES: dict[str, tuple[Tone, bool]] = {f"{STATISTIC}_alive": ("arm-0", False), "cosine_to_init": ("muted", True)}
WIDTH, HEIGHT, COLUMNS = 236.0, 190.0, 4
LEGEND: list[tuple[str, Cell]] = [
    ("dot arm-0", "stability between seeds (alive latents)"),
    ("dot hollow muted", "cosine of rows to their own initialisation"),
]


def over_steps(view: SurveyView, setting: int) -> Figure:
    """Both curves of each arm that was trained, on the source itself."""
    found = [(arm, up, curves) for arm in view.arms if arm.setting == setting
             if (up := _measured(arm)) is not None and (curves := _curves(up))]  # fmt: skip
    dots = [dot for _, _, curves in found for curve in curves for dot in curve.dots]
    y = spanning("cosine", [number(dot.y) for dot in dots])
    x = _steps([number(dot.x) for dot in dots])
    panels = [Panel(x, y, list[Item](curves), (arm.letter, " ", arm.name), WIDTH, HEIGHT) for arm, _, curves in found]
    alt = "Stability between seeds, and cosine of rows to their own initialisation, over training steps, for each arm"
    legend = LEGEND if panels else []
    return Figure(f"steps-{setting}", "Stability over training steps", alt, panels, legend=legend, columns=COLUMNS)


def _measured(arm: ArmView) -> Upstream | None:
    """The full measurement of an arm on its source, at its budget."""
    return arm.view.upstream.get(f"measure {arm.facts['setting']} target {arm.facts['arm']} {arm.facts['steps']}")


def _curves(up: Upstream) -> list[Curve]:
    if not (up.folder / FILE).is_file():
        return []
    data, at, found = up.json(FILE), f"{up.id}:{FILE}@", []
    for name, (tone, hollow) in CURVES.items():
        dots = [
            Dot(Number(step, f"{at}steps.{i}"), Number(value, f"{at}{name}.{i}"), tone, hollow, 2.5)
            for i, (step, value) in enumerate(zip(data.get("steps", []), data.get(name, []), strict=False))
            if value is not None
        ]
        found += [Curve(tuple(dots), tone, dashed=hollow)] if dots else []
    return found


def _steps(steps: list[float]) -> Axis:
    """Few ticks: a panel is small."""
    last = max([*steps, 1.0])
    middle = 10.0 ** round(math.log10(last) / 2)
    return Axis("training steps", 0, last, tuple(sorted({0.0, middle, last})), ".0f", "log")
