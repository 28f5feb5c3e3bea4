"""The figure of a replay: agreement over k as it was published, and trained longer, on data and on controls."""

from __future__ import annotations

from husai.report.cells import Cell, Number
from husai.report.figure import Axis, Curve, Dot, Figure, Item, Panel, Stroke, Tone, spanning
from husai.report.figures import point
from husai.report.replay_view import ReplayView
from husai.store.record import Measurement

LOOKS: dict[str, tuple[Tone, bool]] = {
    "target": ("arm-0", False), "gaussian": ("arm-1", True), "random_model": ("muted", True),
}  # fmt: skip
TITLES = {"as published": "as it was published", "trained longer": "trained longer, at a higher rate"}


def over_k(view: ReplayView) -> Figure:
    """Two panels, each on its own scale; nothing where the sweep is not in the record."""
    every = view.record.select("mean_max_cos")
    if not every:
        return Figure("over-k", "Agreement over k", "", [])
    parts = {trained: [m for m in every if m.scope["trained"] == trained] for trained in TITLES}
    ks = sorted({int(m.scope["k"]) for m in every})
    x = Axis("k, active latents per row", ks[0] * 0.7, ks[-1] * 1.15, tuple(map(float, ks)), ".0f", "log")
    panels = [
        Panel(x, _y(view, found), _items(view, found), TITLES[trained]) for trained, found in parts.items() if found
    ]
    legend: list[tuple[str, Cell]] = [
        ("dot arm-0", "the model's activations"),
        ("dot hollow arm-1", "Gaussian of the same mean and covariance"),
        ("dot hollow muted", "random-weight models"),
    ]
    alt = "Agreement between seeds over k, on activations of the model, their Gaussian twin and random-weight models"
    return Figure("over-k", "Agreement over k", alt, panels, legend=legend)


def _y(view: ReplayView, found: list[Measurement]) -> Axis:
    """Of one panel: the sweep would be a flat line on the axis of the other."""
    marks = [v for m in found for part in ("value", "low", "high") if (v := point(m, view.id, part))]
    return spanning("mean_max_cos between seeds", [mark.value for mark in marks])


def _items(view: ReplayView, found: list[Measurement]) -> list[Item]:
    made: list[Item] = []
    for source, (tone, hollow) in LOOKS.items():
        dots: list[Dot] = []
        of_source = [m for m in found if m.scope["source"] == source]
        for m in sorted(of_source, key=lambda m: int(m.scope["k"])):
            y, low, high = (point(m, view.id, part) for part in ("value", "low", "high"))
            k = _k(view, int(m.scope["k"]))
            if y is None:
                continue
            if low is not None and high is not None:
                made.append(Stroke(k, low, k, high, tone, 1.2))
            dots.append(Dot(k, y, tone, hollow, 3.5, title=source.replace("_", " ")))
        made += [Curve(tuple(dots), tone, dashed=hollow)] if dots else []
    return made


def _k(view: ReplayView, k: int) -> Number:
    """A k as the record holds it."""
    for name in ("search_k", "k"):
        if k in view.facts[name]:
            at = f"{view.id}@facts.{name}.{view.facts[name].index(k)}"
            return Number(k, at, "value", "d")
    raise ValueError(f"no k = {k} in the record")
