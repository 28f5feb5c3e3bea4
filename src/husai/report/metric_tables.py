"""Every metric of every measure record, raw and floor-normalised; and provenance of every record."""

from __future__ import annotations

from dataclasses import dataclass

from husai.report.cells import Cell, Digest, Number, Small, Words, value, with_interval
from husai.report.tables import Column, Table, cell
from husai.report.view import Recorded, Upstream, View
from husai.store.files import sha256
from husai.store.layout import RECORD
from husai.store.record import Measurement

BESIDE, STRATUM = (".floor", ".normalised"), "stratum"
NONE = Words("none", "", style="quiet")


@dataclass(frozen=True)
class SourceMetrics:
    """Tables of one source: means over seeds or pairs, seed by seed, and by firing frequency."""

    source: str
    over_seeds: Table
    strata: Table
    by_seed: Table


def all_metrics(view: View) -> list[SourceMetrics]:
    """For every source, every measurement of its measure records."""
    made = []
    for source in view.sources:
        measured = [view.measure(source, arm) for arm in view.arms]
        tables = (make(view, source, measured) for make in (_over_seeds, _strata, _by_seed))
        made.append(SourceMetrics(source, *tables))
    return made


def _over_seeds(view: View, source: str, measured: list[Upstream | None]) -> Table:
    columns = [Column("metric", text=True)]
    for i in range(len(view.arms)):
        columns += [Column(head, view.arm(i)) for head in ("value", "floor", "normalised")]
    rows: list[list[Cell]] = []
    for m, owner in _kinds(measured, lambda m: not {"seed", STRATUM} & set(m.scope) and not m.name.endswith(BESIDE)):
        at = f"{owner.id}#{m.key}"
        row: list[Cell] = [(Words(m.key, at, "key", "name"), Small((Words(m.unit, at, "unit"),)))]
        for up in measured:
            row += _three(m, up)
        rows.append(row)
    return Table(f"metrics-{source}", f"All metrics of {source}", columns, rows)


def _three(m: Measurement, up: Upstream | None) -> list[Cell]:
    """Value, floor and normalised value; not every metric has a floor."""
    if up is None:
        return [cell(None, ""), "", ""]
    beside: list[Cell] = []
    for suffix in BESIDE:
        found = up.get(m.name + suffix, **m.scope)
        beside.append(NONE if found is None else value(found, up.id))
    return [cell(up.get(m.name, **m.scope), up.id, with_interval), *beside]


def _strata(view: View, source: str, measured: list[Upstream | None]) -> Table:
    """All arms are cut at the same firing frequencies; a stratum may be empty in one of them."""
    columns = [Column("arm", text=True), Column("stratum", text=True), Column("stability")]
    rows: list[list[Cell]] = []
    for i, up in enumerate(measured):
        for m in up.record.measurements if up else ():
            if up and STRATUM in m.scope:
                stratum = Words(m.scope[STRATUM], f"{up.id}#{m.key}", f"scope.{STRATUM}")
                rows.append([view.arm(i), stratum, with_interval(m, up.id)])
    return Table(f"strata-{source}", f"By firing frequency, {source}", columns, rows)


def _by_seed(view: View, source: str, measured: list[Upstream | None]) -> Table:
    columns = [Column("metric", text=True)]
    for i, up in enumerate(measured):
        columns += [Column(_seed(up, number), view.arm(i)) for number in range(len(_seeds(up)))]
    rows: list[list[Cell]] = []
    for m, owner in _kinds(measured, lambda m: set(m.scope) == {"seed"}, by_name=True):
        row: list[Cell] = [Words(m.name, f"{owner.id}#{m.key}", "name", "name")]
        for up in measured:
            row += [cell(up.get(m.name, seed=str(s)), up.id) for s in _seeds(up)] if up else []
        rows.append(row)
    return Table(f"seeds-{source}", f"Seed by seed, {source}", columns, rows)


def _seeds(up: Upstream | None) -> list[int]:
    return list(up.record.seeds.get("seeds", ())) if up else []


def _seed(up: Upstream | None, number: int) -> Cell:
    assert up is not None
    return ("seed ", Number(_seeds(up)[number], f"{up.id}@seeds.seeds.{number}", "value", "d"))


def _kinds(measured, wanted, *, by_name: bool = False) -> list[tuple[Measurement, Upstream]]:
    """One measurement per row of a table, with the record that has it, in the order of the records."""
    found: dict[str, tuple[Measurement, Upstream]] = {}
    for up in measured:
        for m in up.record.measurements if up else ():
            if wanted(m):
                found.setdefault(m.name if by_name else m.key, (m, up))
    return list(found.values())


def records(view: Recorded) -> Table:
    """Every record behind this page: role, kind, id, hash, where and how long."""
    heads = ("kind", "record", "id", "SHA-256 of the record", "seconds", "threads", "device", "commit", "host")
    columns = [Column(head, text=head not in ("seconds", "threads")) for head in heads]
    rows: list[list[Cell]] = []
    for up in {up.id: up for up in view.upstream.values()}.values():
        digest = Digest(sha256(up.folder / RECORD), up.id)
        where = [up.fact(f"provenance.{name}") for name in ("threads", "device", "commit", "host")]
        seconds = up.fact("provenance.seconds", ".1f")
        run = Words(up.id, f"{up.id}@id", style="name")
        rows.append([up.fact("kind"), up.fact("name"), run, digest, seconds, *where])
    return Table("records", "Records behind this page", columns, rows)


def provenance(view: Recorded, what: str = "study") -> list[tuple[Cell, Cell]]:
    """Who, where, when and with what the own record of a study or survey was made."""
    names = ["husai", "commit", "python", "host", "processor", "device", "threads", "command", "started", "finished"]
    found: list[tuple[Cell, Cell]] = [(f"{what} id", Words(view.id, f"{view.id}@id", style="name"))]
    found += [(name, view.fact(f"provenance.{name}")) for name in names]
    found.append((f"seconds for the {what}", view.fact("provenance.seconds", ".1f")))
    packages = view.plain["provenance"]["packages"]
    return found + [(name, view.fact(f"provenance.packages.{name}")) for name in packages]


def settings(view: View) -> list[tuple[Cell, Cell]]:
    """What was declared before the study ran, and the budgets it ended with."""
    names = {
        "margin": "config.margin", "factor": "config.factor", "seeds": "config.seeds",
        "root seed": "config.root_seed", "engine": "facts.engine", "why this engine": "facts.why_engine",
    }  # fmt: skip
    budgets = view.listed("facts.budgets_allowed")
    found: list[tuple[Cell, Cell]] = [
        (label, view.fact(path, ".4g" if label == "margin" else "")) for label, path in names.items()
    ]
    found[:0] = [(f"steps, {arm}", view.fact(f"facts.budgets.{i}.steps")) for i, arm in enumerate(view.arms)]
    found.insert(len(view.arms), ("budgets allowed", tuple(part for budget in budgets for part in (", ", budget))[1:]))
    for name, held in view.plain["config"].get("training", {}).items():
        if not isinstance(held, list | tuple | dict) and name not in ("steps", "engine"):
            form = ".4g" if isinstance(held, float) else ""
            found.append((name.replace("_", " "), view.fact(f"config.training.{name}", form)))
    return found
