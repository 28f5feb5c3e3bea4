"""Lines of a study's per-feature table, filtered by arm and seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from husai.errors import UserError, unknown
from husai.store.layout import read_record

FILE = "features.csv"


def feature_lines(folder: Path, arm: str | None, seed: int | None) -> Iterator[str]:
    """Header and rows of `features.csv` of a study's run folder.

    Raises:
        UserError: the run has no such table, or no such arm or seed.
    """
    path = folder / FILE
    if not path.is_file():
        kind = read_record(folder).kind
        raise UserError(f"{folder} holds no {FILE} (it is a run of kind '{kind}'): give the run folder of a study")
    with path.open(newline="", encoding="utf-8") as handle:
        header, *rows = list(csv.reader(handle))
    place = {name: i for i, name in enumerate(header)}
    if arm is not None:
        rows = _only(rows, place["arm"], arm, "arm")
    if seed is not None:
        rows = _only(rows, place["seed"], str(seed), "seed")
    for row in (header, *rows):
        yield _line(row)


def _only(rows: list[list[str]], column: int, wanted: str, what: str) -> list[list[str]]:
    names = {row[column] for row in rows}
    if wanted not in names:
        raise unknown(what, wanted, names)
    return [row for row in rows if row[column] == wanted]


def _line(row: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(row)
    return out.getvalue()
