"""What the terminal shows of SAEs that exist already, and the same as JSON: each number with unit, n and interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from rich import box
from rich.table import Table

from husai.saes.config import k_label
from husai.saes.formats.load import Loaded
from husai.stability.pairwise import Population
from husai.store.provenance import package_version
from husai.store.record import Measurement
from husai.studies.existing.configuration import Configuration
from husai.studies.existing.contrast import PRIMARY
from husai.studies.existing.gaussian_null import Null
from husai.studies.existing.group import Group
from husai.studies.existing.measure import Measured
from husai.studies.presenting.present import rendered

NO_VERDICT = "This is a measurement, no verdict: a verdict needs arms, convergence and trained controls (husai run)."
WIDTH = 110  # columns that the widest table needs
NO_CONTROL = "no control was applied"
NO_NULL = (
    f"{NO_CONTROL}: low-rank activations alone make dictionaries agree, and the floor is not the null;"
    " --null gaussian trains one"
)


def stability(found: Measured) -> tuple[dict[str, Any], str]:
    """Every number of one group of SAEs, as JSON and in words."""
    data = {**about(found), "threshold": found.t, "words": _sentence(found), "missing": missing(found)}
    parts = [head(found.loaded), measured_on(found), *_tables(found), f"\n{_made(found)}"]
    return data, "\n".join([*filter(None, parts), *notes_on(found), *_divided(found), _sentence(found), NO_VERDICT])


def _tables(found: Measured) -> list[str]:
    return [f"\n{rendered(table, least=WIDTH)}" for table in (_metrics(found), *_strata(found), _saes(found))]


def missing(found: Measured) -> list[str]:
    """What was not measured, and why that matters."""
    said = []
    if found.rows is None:
        said.append(
            "without --activations nothing is said of alive latents (dead ones keep their random start and can turn a"
            " result round), firing frequencies, explained variance, L0, or a trained null"
        )
    if found.null is None:
        said.append(NO_NULL if found.rows is not None else f"{NO_CONTROL}: the floor is not the null")
    return said


def about(found: Measured) -> dict[str, Any]:
    """One group as JSON."""
    rows = found.rows
    on = None if rows is None else {"n": len(rows.x_ND), "words": rows.words, "note": rows.note}
    return {
        "husai": package_version("husai"),
        "threads": torch.get_num_threads(),
        "saes": [_plain(one) for one in found.loaded],
        "configurations": [_configuration(found, one) for one in found.configurations],
        "rows": on,
        "measurements": [m.plain() for m in found.numbers],
        "pairs": _pairs(found),
        "null": None if found.null is None else _null(found.null),
        "cautions": list(found.cautions),
    }


def _plain(one: Loaded) -> dict[str, Any]:
    cfg = one.sae.cfg
    sizes = {"architecture": cfg.architecture, "d_in": cfg.d_in, "d_sae": cfg.d_sae, "hook_name": cfg.hook_name}
    where = {"name": one.name, "path": str(one.path), "seed": one.seed, "tool": one.tool}
    return {**where, **sizes, "k": getattr(one.sae.config, "k", None), "config": one.sae.config.plain()}


def _configuration(found: Measured, one: Configuration) -> dict[str, Any]:
    return {"hash": one.hash, "fields": one.fields, "saes": [found.group.names[i] for i in one.members]}


def _divided(found: Measured) -> list[str]:
    """The primary number of each configuration, where there are several."""
    if len(found.configurations) < 2:
        return []
    population = found.group.populations[-1]
    lines = []
    for one in found.configurations:
        m = found.get(PRIMARY, population=population, configuration=one.hash)
        said = "one SAE, which has no pair" if m is None else f"{known(m)}{_why_none(m)}"
        lines.append(f"configuration {one.hash} ({len(one.members)}): {PRIMARY} over {population} latents {said}")
    return lines


def _why_none(m: Measurement) -> str:
    return "" if m.interval is not None else f" (no interval: {m.no_interval or m.reason})"


def _pairs(found: Measured) -> list[dict[str, Any]]:
    """Every pair of SAEs, in their order; null on the diagonal and where there was nothing to compare."""
    pairs, populations = found.group.pairs, found.group.populations
    made = []
    for metric, population in [key for key in pairs.values if key[1] in populations]:
        numbers = {"values": pairs.matrix(metric, population), "gap": pairs.gap(metric, population)}
        unit = "share of features" if metric.startswith("shared_at") else "cosine"
        how = pairs.how(metric, population) or "no matching"
        head = {"metric": metric, "population": population, "unit": unit, "how": how}
        made.append(head | {name: _listed(matrix) for name, matrix in numbers.items()})
    return made


def _listed(matrix: np.ndarray) -> list[list[float | None]]:
    return [[float(v) if np.isfinite(v) else None for v in row] for row in matrix]


def _null(null: Null) -> dict[str, Any]:
    group = null.group
    numbers = group.pair_measurements() + [m for row in group.fidelity_rows() for m in group.with_each(*row)]
    made = {"words": null.words, "stack": null.stack_id, "config": null.config.plain()}
    return {**made, "training": null.training.plain(), "measurements": [m.plain() for m in numbers]}


def head(loaded: Sequence[Loaded]) -> str:
    """How many SAEs of what kind."""
    cfg, tools = loaded[0].sae.cfg, ", ".join(sorted({one.tool for one in loaded}))
    parts = [
        "/".join(sorted({one.sae.cfg.architecture for one in loaded})),
        f"d_in {cfg.d_in}",
        "d_sae " + "/".join(str(n) for n in sorted({one.sae.cfg.d_sae for one in loaded})),
        "k " + "/".join(sorted({k_label(one.sae.config) for one in loaded})),
        "hook " + "/".join(sorted({one.sae.hook_name or "not known" for one in loaded})),
    ]
    return f"{len(loaded)} SAEs of {tools}: {', '.join(parts)}"


def measured_on(found: Measured) -> str:
    return f"measured on {found.rows.words}: {found.rows.note}" if found.rows else ""


def plain_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)


def _metrics(found: Measured) -> Table:
    """A row per metric and population, alive first."""
    table = plain_table()
    heads = ["metric", "latents", f"mean over pairs{level(found)}", "floor", "above floor"]
    heads += ["null", f"beyond it{level(found)}"] if found.null else []
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number < 2 else "right", no_wrap=True)
    for metric in found.group.pairs.metrics:
        for population, label in populations(found.group):
            table.add_row(metric, label, *_metric_row(found, metric, population))
    return table


def populations(*groups: Group) -> list[tuple[Population, str]]:
    """The populations worth a row, alive first: one where every latent is alive."""
    if "alive" not in groups[0].populations:
        return [("all", "all")]
    if all(f.alive_F.all() for group in groups for f in group.fidelities):
        return [("alive", "all, alive")]
    return [("alive", "alive"), ("all", "all")]


def _metric_row(found: Measured, metric: str, population: Population) -> list[str]:
    row = [known(found.get(metric + part, population=population)) for part in ("", ".floor", ".normalised")]
    row[2] = row[2].partition(" [")[0]  # its interval is in the JSON
    if found.null is not None:
        matrix = found.null.group.pairs.matrix(metric, population)
        off = matrix[~np.eye(len(matrix), dtype=bool)]
        beyond = found.get("excess", metric=metric, population=population, control="gaussian")
        row += [f"{off.mean():.3f}" if np.isfinite(off).all() else "-", known(beyond)]
    return row


def known(m: Measurement | None) -> str:
    """A value with its interval, to three decimals."""
    if m is None or m.value is None:
        return "-"
    bounds = m.shown_interval
    if bounds is None or bounds.low is None or bounds.high is None:
        return f"{m.value:.3f}"
    return f"{m.value:.3f} [{bounds.low:.3f}, {bounds.high:.3f}]"


def _strata(found: Measured) -> list[Table]:
    """`mcc_signed` by firing frequency."""
    cuts = [m for m in found.numbers if m.name == "mcc_signed.stratum"]
    if not cuts:
        return []
    table = plain_table()
    table.add_column("mcc_signed, alive latents", no_wrap=True)
    table.add_column(f"mean over pairs{level(found)}", justify="right", no_wrap=True)
    for m in cuts:
        table.add_row(m.scope["stratum"], "none in some SAE" if m.value is None else known(m))
    return [table]


def _saes(found: Measured) -> Table:
    """What each SAE is worth by itself."""
    table = plain_table()
    table.add_column("SAE", overflow="fold")
    ends = found.group.populations[-1]
    columns = {"own neighbour": None, f"come back at {found.t:g}": "reappearing_share"}
    on_rows = {"EV": "explained_variance", "L0": "l0", "alive": "alive"} if found.rows else {}
    for head in (*on_rows, *columns):
        table.add_column(head, justify="right", no_wrap=True)
    for name, own in zip(found.group.names, found.group.pairs.own[ends], strict=True):
        cells = [known(found.get(of, sae=name)).removesuffix(".000") for of in on_rows.values()]
        mean = "-" if own.mean is None else f"{own.mean:.3f}{' COLLAPSED' if own.collapsed else ''}"
        table.add_row(name, *cells, mean, known(found.get("reappearing_share", sae=name)))
    return table


def level(found: Measured) -> str:
    main = found.get(PRIMARY, population=found.group.populations[-1])
    return " [95 %]" if main is not None and main.interval is not None else ""


def _made(found: Measured) -> str:
    """How intervals and matchings were made, once for all numbers."""
    main, how = found.get(PRIMARY, population="all"), found.group.pairs.how(PRIMARY, "all")
    assert main is not None
    of = main.interval.method if main.interval else f"no intervals: {main.no_interval}"
    return f"n = {main.n} {main.n_unit}; {of}; {how}; floor: independent isotropic dictionaries of these sizes"


def notes_on(found: Measured) -> list[str]:
    null = [] if found.null is None else [_null_words(found.null)]
    return [
        *(f"warning: {text}" for text in found.cautions),
        *null,
        *(f"missing: {text}" for text in missing(found)),
    ]


def _null_words(null: Null) -> str:
    ev, l0 = (np.mean([getattr(f, name) for f in null.group.fidelities]) for name in ("explained_variance", "l0"))
    return f"null: {null.words}; EV {ev:.3f}, L0 {l0:.4g} on {null.group.rows}"


def _sentence(found: Measured) -> str:
    """What the primary number is, beside what it means nothing without."""
    population = found.group.populations[-1]
    m, floor = (found.get(name, population=population) for name in (PRIMARY, f"{PRIMARY}.floor"))
    if m is None or m.value is None:
        return f"{PRIMARY} over {population} latents: missing ({m.reason if m else 'not measured'})."
    collapsed = found.group.pairs.collapsed
    if collapsed:
        names = ", ".join(found.group.names[i] for i in collapsed)
        return f"{PRIMARY} says nothing: {names} collapsed (own neighbours at .9 or above), and matches anything."
    said = f"{PRIMARY} over {population} latents: {known(m)}, floor {known(floor)}"
    beyond = found.get("excess", metric=PRIMARY, population=population, control="gaussian")
    return f"{said}; beyond the Gaussian null by {known(beyond)}." if found.null else f"{said}."
