"""The figures of a study: excess over controls, stability over steps, reconstruction against stability, density."""

from __future__ import annotations

from collections.abc import Iterable

from husai.report.cells import Cell, Number, Words
from husai.report.figure import Axis, Curve, Dot, Figure, Item, Label, Panel, Stroke, Tone, number, spanning
from husai.report.tables import contrasts
from husai.report.view import RANDOM_MODEL, STATISTIC, Upstream, View
from husai.store.record import Measurement

ROW = 46.0  # height of one row of the forest
ARMS: tuple[Tone, Tone] = ("arm-0", "arm-1")
LETTERS = {
    "target": "T", "gaussian": "G", "gaussian-2": "G", "planted": "P", "planted-gaussian": "N",
}  # fmt: skip


def point(m: Measurement | None, run: str, part: str = "value") -> Number | None:
    """A place in a figure; None where nothing was measured, and then nothing is drawn."""
    if m is None:
        return None
    held = m.value if part == "value" else getattr(m.shown_interval, part, None)
    return None if held is None else Number(held, f"{run}#{m.key}", part)


def forest(view: View) -> Figure:
    """Excess of every contrast with its intervals, against the margin."""
    pairs = contrasts(view)
    n = max(len(pairs), 1)
    tops = [float(n - row) for row in range(len(pairs))]
    marks: list[Item] = []
    for pair, top in zip(pairs, tops, strict=True):
        marks += _forest_row(view, pair, top - 0.62, "alive") + _forest_row(view, pair, top - 0.84, "all")
    margin = view.margin
    ends = [v for item in marks if isinstance(item, Stroke | Dot) for v in _x_of(item)]
    x = spanning("difference on the source minus difference on the control", [*ends, -margin.value, margin.value])
    behind: list[Item] = [
        Stroke(margin.negative(), n / 2, margin, n / 2, "band", ROW * n),  # one line as thick as the plot is high
        Stroke(0.0, 0.0, 0.0, float(n), "muted", 1),
        Stroke(margin, 0.0, margin, float(n), "ink", 1, dashed=True),
    ]
    names: list[Item] = [Label(x.low, top - 0.3, f"{a} beyond {b}") for (a, b), top in zip(pairs, tops, strict=True)]
    panel = Panel(x, Axis("", 0, n), [*behind, *marks, *names], width=480, height=56 + ROW * n, left=14)
    legend: list[tuple[str, Cell]] = [
        ("dot ink", "alive latents (decide)"), ("dot hollow muted", "all latents"), ("band", "within the margin"),
    ]  # fmt: skip
    alt = "Excess of the difference between the arms over each control, with intervals and the margin"
    return Figure("excess", "Excess over each control", alt, [panel], legend=legend)


def _x_of(item: Stroke | Dot) -> list[float]:
    return [number(item.x)] if isinstance(item, Dot) else [number(item.x1), number(item.x2)]


def _forest_row(view: View, pair: tuple[str, str], y: float, population: str) -> list[Item]:
    made: list[Item] = []
    alive = population == "alive"
    found = {
        at: view.get("excess", source=pair[0], control=pair[1], population=population, level=at)
        for at in ("0.95", "0.90")
    }
    for at, width in (("0.95", 1.5), ("0.90", 4.5)):
        low, high = point(found[at], view.id, "low"), point(found[at], view.id, "high")
        if low is not None and high is not None and (alive or at == "0.95"):
            made.append(Stroke(low, y, high, y, "ink" if alive else "muted", width))
    value = point(found["0.95"], view.id)
    if value is not None:
        made.append(Dot(value, y, "ink" if alive else "muted", hollow=not alive, size=5 if alive else 3.5))
    return made


def over_steps(view: View) -> Figure:
    """Stability and cosine to the own initialisation over training steps, on the target and its Gaussian twin."""
    curves = [
        (i, source, up)
        for source in ("target", "gaussian")
        for i, arm in enumerate(view.arms)
        if (up := view.measure(source, arm)) is not None
    ]
    panels = []
    for name, title in ((f"{STATISTIC}_alive", "stability (alive latents)"), ("cosine_to_init", "cosine to own init")):
        items: list[Item] = [curve for i, source, up in curves if (curve := _curve(up, name, i, source)) is not None]
        dots = [dot for item in items if isinstance(item, Curve) for dot in item.dots]
        y = spanning(title, [number(d.y) for d in dots])
        panels.append(Panel(_step_axis([number(d.x) for d in dots]), y, items))
    legend: list[tuple[str, Cell]] = [(f"dot arm-{i}", view.arm(i)) for i in range(len(view.arms))]
    legend += [("key-line", "target"), ("key-line dashed", "gaussian")]
    alt = "Stability between seeds, and cosine of rows to their own initialisation, over training steps"
    return Figure("steps", "Stability over training steps", alt, panels, legend=legend)


def _curve(up: Upstream, name: str, arm: int, source: str) -> Curve | None:
    data = up.json("trajectory.json")
    at = f"{up.id}:trajectory.json@"
    dots = [
        Dot(Number(step, f"{at}steps.{i}"), Number(value, f"{at}{name}.{i}"), ARMS[arm], source != "target", 3.5)
        for i, (step, value) in enumerate(zip(data["steps"], data[name], strict=True))
        if value is not None
    ]
    return Curve(tuple(dots), ARMS[arm], dashed=source != "target") if dots else None


def _step_axis(steps: list[float]) -> Axis:
    last = max([*steps, 1.0])
    marks = [0.0, *(float(4**n) for n in range(2, 12) if 4**n < last * 0.6), last]
    return Axis("training steps", 0, last, tuple(marks), ".0f", "log")


def reconstruction(view: View) -> Figure:
    """Explained variance against stability, per source and arm; the random models one by one."""
    items: list[Item] = []
    for source in sorted(view.sources, key=_front):
        for i, arm in enumerate(view.arms):
            items += _reconstruction_point(view, source, i, arm)
    dots = [item for item in items if isinstance(item, Dot)]
    ends = [v for item in items if isinstance(item, Stroke) for v in (number(item.y1), number(item.y2))]
    x = spanning("explained variance", [number(d.x) for d in dots])
    y = spanning("stability (alive latents)", [number(d.y) for d in dots] + ends)
    panel = Panel(x, y, items, width=480, height=360)
    there = [name for name in LETTERS if name in view.groups and name != "gaussian-2"]
    legend: list[tuple[str, Cell]] = [(f"dot arm-{i}", view.arm(i)) for i in range(len(view.arms))]
    legend += [(f"letter:{LETTERS[name]}", Words(name, "", style="source")) for name in there]
    legend += [("dot muted hollow", "each random model")] if RANDOM_MODEL in view.groups else []
    alt = "Explained variance against stability for every source and arm"
    return Figure("reconstruction", "Reconstruction against stability", alt, [panel], legend=legend)


def _front(source: str) -> int:
    """Drawn later means in front: random models, controls, the planted dictionary, the target."""
    order = ("gaussian-2", "gaussian", "planted-gaussian", "planted", "target")
    return order.index(source) + 1 if source in order else 0


def _reconstruction_point(view: View, source: str, index: int, arm: str) -> list[Item]:
    """A mark with the interval of the stability; controls are hollow."""
    up = view.measure(source, arm)
    if up is None:
        return []
    x, m = point(up.get("explained_variance"), up.id), up.get(STATISTIC, population="alive")
    y, low, high = (point(m, up.id, part) for part in ("value", "low", "high"))
    if x is None or y is None:
        return []
    known = source in LETTERS
    hollow, size, letter = source not in ("target", "planted"), 8 if known else 4, LETTERS.get(source, "")
    dot = Dot(x, y, ARMS[index], hollow, size, letter, f"{source} {arm}")
    bar: list[Item] = [Stroke(x, low, x, high, ARMS[index], 1.2)] if low is not None and high is not None else []
    return [*bar, dot]


def density(view: View) -> Figure:
    """How often latents fire: one thin bar per seed in every bin of log10 frequency, one panel per arm."""
    panels, measured = [], [(i, view.measure("target", arm)) for i, arm in enumerate(view.arms)]
    tallest = max([1, *(n for _, up in measured if up for seed in _densities(up) for n in seed.values())])
    for i, up in measured:
        if up is None:
            continue
        items: list[Item] = [
            bar for seed, counts in enumerate(_densities(up)) for bar in _bars(up, seed, counts, ARMS[i])
        ]
        x = Axis("firing frequency, in powers of ten", -7.1, 0.1, (-5, -4, -3, -2, -1, 0), ".0f", names=_OTHER)
        y = Axis("latents", 0, float(tallest) * 1.06, spanning("", [0, float(tallest)], pad=0).ticks, ".0f")
        panels.append(Panel(x, y, items, title=view.arm(i)))
    alt = "Histogram of firing frequencies of the latents, one bar per seed, for each arm"
    return Figure("density", "Density of firing", alt, panels)


_OTHER = ((-6.7, "dead"), (-5.8, "rarer"))


def _densities(up: Upstream) -> list[dict[str, int]]:
    return up.plain["facts"].get("density", [])


def _bars(up: Upstream, seed: int, counts: dict[str, int], tone: Tone) -> Iterable[Stroke]:
    share = 0.42 / max(len(_densities(up)), 1)
    for name, count in counts.items():
        x = _bin_start(name) + 0.04 + (seed + 0.5) * share
        top = Number(count, f"{up.id}@facts.density.{seed}.{name}", "value", "d")
        if count:
            yield Stroke(x, 0.0, x, top, tone, 0.42 / max(len(_densities(up)), 1) * 56)


def _bin_start(name: str) -> float:
    """Left edge of a bin; the dead and the rarest stand apart at the left."""
    if name == "dead":
        return -6.95
    low = name.split("..")[0]
    return -6.05 if low == "-inf" else float(low)
