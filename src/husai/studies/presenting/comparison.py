"""What the terminal shows of two groups of SAEs that exist already, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from husai.stability.pairwise import Population
from husai.store.record import Measurement
from husai.studies.existing.contrast import PRIMARY
from husai.studies.existing.measure import Comparison
from husai.studies.presenting.existing import (
    NO_CONTROL,
    NO_VERDICT,
    WIDTH,
    about,
    head,
    known,
    level,
    measured_on,
    missing,
    notes_on,
    plain_table,
    populations,
)
from husai.studies.presenting.present import rendered


def comparison(found: Comparison) -> tuple[dict[str, Any], str]:
    """Two groups and what may be said of their difference, as JSON and in words."""
    c = found.contrast
    data = {
        "a": about(found.a),
        "b": about(found.b),
        "differences": [m.plain() for m in (*c.differences, *c.beyond)],
        "state": c.state,
        "reasons": list(c.reasons),
        "groups_differ_in": found.differ,
        "words": c.words,
        "missing": missing(found.a),
    }
    heads = [f"{name}: {head(side.loaded)}" for name, side in (("A", found.a), ("B", found.b))]
    table = rendered(_side_by_side(found), least=WIDTH)
    notes = [f"note: A and B differ in {name} ({values})" for name, values in found.differ.items() if name != "k"]
    notes += [n for n in dict.fromkeys([*notes_on(found.a), *notes_on(found.b)]) if NO_CONTROL not in n]
    parts = [*heads, measured_on(found.a), f"\n{table}\n", _made_difference(found)]
    return data, "\n".join([*filter(None, parts), *notes, c.words, NO_VERDICT])


def _side_by_side(found: Comparison) -> Table:
    """Every metric of both groups; the difference only where they are matched."""
    shown = found.contrast.state != "unmatched"
    table = plain_table()
    titles = ["metric", "latents", "A", "B", f"A - B{level(found.a)}", "beyond null"]
    shown_titles = titles[: 4 + shown] + (titles[5:] if found.contrast.beyond else [])
    for number, title in enumerate(shown_titles):
        table.add_column(title, justify="left" if number < 2 else "right", no_wrap=True)
    for metric in found.a.group.pairs.metrics:
        for population, label in populations(found.a.group, found.b.group):
            table.add_row(metric, label, *_compared_row(found, metric, population, shown))
    for name, title in (("explained_variance", "EV"), ("l0", "L0"), ("dead_share", "dead share")):
        sides = [side.get(name) for side in (found.a, found.b)]
        if found.a.rows is not None:
            table.add_row(title, "", *(known(m).partition(" [")[0] for m in sides))
    return table


def _compared_row(found: Comparison, metric: str, population: Population, shown: bool) -> list[str]:
    sides = [side.get(metric, population=population) for side in (found.a, found.b)]
    row = [known(m).partition(" [")[0] for m in sides]  # their intervals are in the JSON
    scope = {"metric": metric, "population": population}
    row += [known(_of(found.contrast.differences, scope))] if shown else []
    if found.contrast.beyond:
        row.append(known(_of(found.contrast.beyond, scope | {"control": "gaussian"})))
    return row


def _made_difference(found: Comparison) -> str:
    """How many SAEs, and how the interval of a difference was made."""
    counts = "; ".join(f"{name}: {len(side.loaded)} SAEs" for name, side in (("A", found.a), ("B", found.b)))
    scope = {"metric": PRIMARY, "population": found.a.group.populations[-1]}
    main = _of(found.contrast.differences, scope)
    if main is None or main.value is None:
        return counts
    return f"{counts}; A - B: {main.interval.method if main.interval else f'no interval: {main.no_interval}'}"


def _of(numbers: Sequence[Measurement], scope: dict[str, str]) -> Measurement | None:
    return next((m for m in numbers if m.scope == scope), None)
