"""Tables of the study itself: stability with intervals, excess over controls, quality beside stability, convergence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase

from husai.report.cells import Cell, Flag, Missing, Small, Words, fact, interval, level, units, value, with_interval
from husai.report.view import STATISTIC, View, source_order
from husai.store.record import Measurement

ABSENT = Missing("not in the record")
Show = Callable[[Measurement, str], Cell]
FOUND = tuple(
    f"{what}({t})" for t in (0.7, 0.9) for what in ("precision_to_truth", "recall_of_truth", "firings_of_truth_found")
)


@dataclass(frozen=True)
class Column:
    """Head of a column; columns of the same `group` stand under one wider head. Numbers are set to the right."""

    head: Cell
    group: Cell = ""
    text: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of a row is its head. Without rows, `empty` says why there is nothing.

    The last column of a `wordy` table holds sentences: on a narrow screen its rows are set as blocks.
    """

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    empty: str = "nothing of this kind is in the record"
    wordy: bool = False

    @property
    def groups(self) -> list[tuple[Cell, int]]:
        """Wider heads with the number of columns below each; empty when there are none."""
        found: list[tuple[Cell, int]] = []
        for column in self.columns:
            if found and found[-1][0] == column.group:
                found[-1] = (column.group, found[-1][1] + 1)
            else:
                found.append((column.group, 1))
        return found if any(group for group, _ in found) else []


def noted(table: Table) -> tuple[Table, list[tuple[str, Cell]]]:
    """The table with each reason for a missing interval moved into a lettered note below it."""
    notes: dict[str, tuple[str, Cell]] = {}

    def move(found: Cell) -> Cell:
        if isinstance(found, tuple):
            return tuple(move(part) for part in found)
        if isinstance(found, Small):
            return Small(tuple(move(part) for part in found.parts))
        if isinstance(found, Missing) and found.part == "no_interval":
            letter, _ = notes.setdefault(found.reason, (ascii_lowercase[len(notes) % 26], found))
            return (replace(found, short=True), f" ({letter})")
        return found

    rows = [[move(found) for found in row] for row in table.rows]
    return replace(table, rows=rows), list(notes.values())


def cell(m: Measurement | None, run: str, show: Show = value) -> Cell:
    """A measurement as shown by `show`, or that there is none."""
    return ABSENT if m is None else show(m, run)


def first_level(measurements: Iterable[Measurement], run: str) -> Cell:
    """The one level of all intervals, for a table's head; nothing where they differ."""
    with_one = [m for m in measurements if m.interval is not None]
    same = {m.interval.level for m in with_one if m.interval}
    return level(with_one[0], run) if len(same) == 1 else ""


def stability(view: View) -> Table:
    """M of every arm on every source, over alive and over all latents, and their difference."""
    columns: list[Column] = [Column("source", text=True)]
    for population in ("alive", "all"):
        group = f"{population} latents"
        columns += [Column(view.arm(i), group) for i in range(len(view.arms))]
        columns.append(Column("difference", group))
    columns.append(Column("units", text=True))
    rows = [[source_name(view, source), *_stabilities(view, source), _units(view, source)] for source in view.groups]
    return Table("stability", "Stability between seeds, by source and arm", columns, rows)


def source_name(view: View, name: str, part: str = "source") -> Cell:
    """A source's name, as the scope of the record's measurements has it."""
    key = next((m.key for m in view.record.measurements if m.scope.get(part) == name), None)
    return Words(name, f"{view.id}#{key}" if key else "", f"scope.{part}", "source")


def _stabilities(view: View, source: str) -> list[Cell]:
    row: list[Cell] = []
    for population in ("alive", "all"):
        for arm in view.arms:
            m = view.get(STATISTIC, source=source, arm=arm, population=population)
            row.append(cell(m, view.id, with_interval))
        row.append(cell(view.get("difference", source=source, population=population), view.id, with_interval))
    return row


def _units(view: View, source: str) -> Cell:
    return cell(view.get(STATISTIC, source=source, arm=view.arms[0], population="alive"), view.id, units)


def contrasts(view: View) -> list[tuple[str, str]]:
    """(source, control) of every excess in the record, in its order."""
    return list(dict.fromkeys((m.scope["source"], m.scope["control"]) for m in view.record.select("excess")))


def excess(view: View) -> Table:
    """D of every contrast with its two intervals, over alive and over all latents, and what the rule says of it."""
    found = view.record.select("excess")
    wide = first_level([m for m in found if m.scope["level"] == "0.95"], view.id)
    narrow = first_level([m for m in found if m.scope["level"] == "0.90"], view.id)
    columns = [Column("contrast", text=True)]
    for population in ("alive", "all"):
        group = f"{population} latents"
        columns += [Column("excess", group), Column((wide, " interval"), group)]
        if population == "alive":
            columns.append(Column((narrow, " interval"), group))
    columns.append(Column("the rule says", text=True))
    calls = _calls(view)
    rows = [
        [contrast_name(view, pair), *_excesses(view, *pair), calls.get(pair, role_of(pair))] for pair in contrasts(view)
    ]
    return Table("excess", "Excess of the difference over each control", columns, rows)


def contrast_name(view: View, pair: tuple[str, str]) -> Cell:
    """`target beyond gaussian`."""
    return (source_name(view, pair[0]), " beyond ", source_name(view, pair[1], "control"))


def role_of(pair: tuple[str, str]) -> Cell:
    """What a contrast is for, where the rule of the verdict does not speak about it."""
    return "control of the method"


def _calls(view: View) -> dict[tuple[str, str], Cell]:
    outcomes = view.facts.get("verdict", {}).get("outcomes", [])
    return {
        ("target", outcome["control"]): fact(outcome["call"], f"{view.id}@facts.verdict.outcomes.{i}.call")
        for i, outcome in enumerate(outcomes)
    }


def _excesses(view: View, source: str, control: str) -> list[Cell]:
    row: list[Cell] = []
    for population in ("alive", "all"):
        scope = {"source": source, "control": control, "population": population}
        wide, narrow = (view.get("excess", level=at, **scope) for at in ("0.95", "0.90"))
        row += [cell(wide, view.id), cell(wide, view.id, interval)]
        if population == "alive":  # the narrower interval takes part in the rule over alive latents only
            row.append(cell(narrow, view.id, interval))
    return row


QUALITY: list[tuple[str, str, dict[str, str]]] = [
    ("explained variance", "explained_variance", {}),
    ("L0", "l0", {}),
    ("dead share", "dead_share", {}),
    ("alive latents", "alive", {}),
    ("cosine to own init", "cosine_to_init", {}),
    ("own neighbour", "own_nearest_neighbour", {"population": "alive"}),
]


def quality(view: View) -> Table:
    """What stands beside every stability number: reconstruction, sparsity, dead latents, collapse, distance trained."""
    columns = [Column("source", text=True), Column("arm", text=True), *(Column(head) for head, *_ in QUALITY)]
    rows: list[list[Cell]] = []
    for source in view.sources:
        for i, arm in enumerate(view.arms):
            found = [view.get(name, source=source, arm=arm, **scope) for _, name, scope in QUALITY]
            rows.append([source_name(view, source), view.arm(i), *(cell(m, view.id, with_interval) for m in found)])
    return Table("quality", "What the stability is worth: quality of the same dictionaries", columns, rows)


def sources(view: View) -> Table:
    """What every source is, in the words of its record."""
    found = sorted(view.facts.get("sources", {}), key=source_order)
    rows: list[list[Cell]] = [[source_name(view, name), view.fact(f"facts.sources.{name}")] for name in found]
    columns = [Column("source", text=True), Column("rows", text=True)]
    return Table("sources", "Where the activations come from", columns, rows, wordy=True)


def starts(view: View) -> list[Cell]:
    """For each arm on the target, in the words of its record: how far from its start, and whether starts are shared."""
    found: list[Cell] = []
    for i, arm in enumerate(view.arms):
        up = view.measure("target", arm)
        words = [up.fact(f"facts.{name}") for name in ("distance_from_start", "shared_initialisation")] if up else []
        found += [(view.arm(i), ": ", cell) for cell in words]
    return found


def arms(view: View) -> Table:
    """The SAE of each arm, field by field."""
    columns = [Column("setting", text=True), *(Column(view.arm(i)) for i in range(len(view.arms)))]
    names = dict.fromkeys(name for arm in view.plain["config"]["arms"] for name in arm["sae"])
    rows: list[list[Cell]] = [
        [name, *(view.fact(f"config.arms.{i}.sae.{name}") for i in range(len(view.arms)))] for name in names
    ]
    return Table("arms", "The SAE of each arm", columns, rows)


def convergence(view: View) -> Table:
    """The three checks of every arm on every source."""
    columns = [Column("source", text=True), Column("arm", text=True), Column("state", text=True)]
    columns += [Column("change at most"), Column("change of EV"), Column("in words", text=True)]
    rows: list[list[Cell]] = []
    for i, entry in enumerate(view.facts.get("convergence", [])):
        at, scope = f"facts.convergence.{i}", {"source": entry["source"], "arm": entry["arm"]}
        state = Flag(entry["converged"], f"{view.id}@{at}.converged", "converged", "not converged")
        changes = [view.get(name, **scope) for name in ("statistic_change_bound", "explained_variance_change")]
        row: list[Cell] = [source_name(view, entry["source"]), view.arm(view.arms.index(entry["arm"])), state]
        rows.append([*row, *(cell(m, view.id) for m in changes), view.fact(f"{at}.words")])
    return Table("convergence", "Does training twice as long change anything?", columns, rows, wordy=True)


def found_at(rows: Sequence[Sequence[Measurement | None]], run: str) -> tuple[list[Column], list[list[Cell]]]:
    """What of the truth was found (`FOUND`, one list for each row): the columns that the record has, by its names."""
    known = [next((m for m in column if m is not None), None) for column in zip(*rows, strict=True)]
    heads = [(i, Column(Words(m.name, f"{run}#{m.key}", "name", "name"))) for i, m in enumerate(known) if m]
    return [head for _, head in heads], [[cell(row[i], run, with_interval) for i, _ in heads] for row in rows]


def planted(view: View) -> Table:
    """Agreement with the truth beside agreement between seeds, where the truth is known."""
    columns = [Column("source", text=True), Column("arm", text=True), Column("between seeds"), Column("to the truth")]
    columns += [Column("of at most"), Column("matched only"), Column("explained variance")]
    truth = ("mcc_to_truth", "mcc_to_truth_attainable", "matched_to_truth", "explained_variance")
    rows: list[list[Cell]] = []
    known: list[list[Measurement | None]] = []
    for source in dict.fromkeys(m.scope["source"] for m in view.record.select("mcc_to_truth")):
        for i, arm in enumerate(view.arms):
            wanted = [(STATISTIC, {"population": "alive"}), *((name, {}) for name in truth)]
            found = [view.get(name, source=source, arm=arm, **scope) for name, scope in wanted]
            rows.append([source_name(view, source), view.arm(i), *(cell(m, view.id, with_interval) for m in found)])
            known.append([view.get(name, source=source, arm=arm) for name in FOUND])
    more, cells = found_at(known, view.id)
    rows = [[*row, *extra] for row, extra in zip(rows, cells, strict=True)]
    return Table("planted", "Agreement between seeds and with the planted dictionary", [*columns, *more], rows)
