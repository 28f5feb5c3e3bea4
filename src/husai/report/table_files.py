"""Tables as files for papers and scripts: Markdown, CSV and LaTeX, each with the record, version, commit and date."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Iterator
from pathlib import Path

from husai.report.cells import Cell, Number, Small, plain
from husai.report.latex import PACKAGES, heads, latex
from husai.report.summary import table as markdown
from husai.report.tables import Table
from husai.store.files import make_folder, write_text
from husai.store.record import RunRecord

BOUNDS = ("low", "high")


def origin(record: RunRecord) -> dict[str, str]:
    """Where a file comes from."""
    made = record.provenance
    return {"record": record.id, "husai": made.husai, "commit": made.commit, "date": made.finished}


def write_tables(folder: Path, name: str, tables: list[Table], record: RunRecord, *, csv: bool = True) -> None:
    """`name`.md and .tex with every table, and .csv of one table, into `folder`."""
    make_folder(folder)
    made = origin(record)
    said = ", ".join(f"{key} {value}" for key, value in made.items())
    write_text(folder / f"{name}.md", f"<!-- {said} -->\n\n" + "\n\n".join(markdown(t) for t in tables) + "\n")
    write_text(folder / f"{name}.tex", f"% {said}\n% needs {PACKAGES}\n" + "\n".join(latex(t) for t in tables))
    if csv:
        write_text(folder / f"{name}.csv", "".join(as_csv(t, made) for t in tables[:1]))


def as_csv(table: Table, made: dict[str, str]) -> str:
    """CSV: numbers as they are in the record, bounds in columns of their own; empty means missing.

    The last columns say where each row comes from: a comment line would be a row for most readers.
    """
    rows = [_row(table, row) | made for row in table.rows]
    names = list(dict.fromkeys([*_names(table), *made]))
    out = io.StringIO()
    writer = csv_format.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _names(table: Table) -> list[str]:
    """Every column that some row has; a column of numbers has bounds where one of its numbers has."""
    found: list[str] = []
    held = {name for row in table.rows for name in _row(table, row)}
    for head in heads(table):
        found += [head, *(name for end in BOUNDS if (name := f"{head}.{end}") in held)]
    return found


def _row(table: Table, row: list[Cell]) -> dict[str, str]:
    found: dict[str, str] = {}
    for column, head, cell in zip(table.columns, heads(table), row, strict=True):
        if column.text:
            found[head] = plain(cell)
            continue
        parts = {number.part: repr(number.value) for number in _numbers(cell)}
        found[head] = parts.get("value", "")
        found |= {f"{head}.{end}": parts[end] for end in BOUNDS if end in parts}
    return found


def _numbers(cell: Cell) -> Iterator[Number]:
    """Numbers of a cell, in their order."""
    if isinstance(cell, Number):
        yield cell
    elif isinstance(cell, Small):
        yield from _numbers(cell.parts)
    elif isinstance(cell, tuple):
        for part in cell:
            yield from _numbers(part)
