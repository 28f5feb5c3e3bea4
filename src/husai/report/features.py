"""The per-feature tables of the target, both arms, all seeds, as one: `features.csv` and its copy in the page."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from husai.errors import UserError
from husai.report.view import Upstream, View
from husai.store.features import column_order

FILE = "features.csv"
OWN = ("source", "arm", "seed")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")


@dataclass(frozen=True)
class Features:
    """Rows of text cells under `names`; an empty cell is missing (of the seed itself: it has no partner in itself)."""

    names: list[str]
    rows: list[list[str]]

    def csv(self) -> str:
        """The table as CSV text."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows(self.rows)
        return out.getvalue()

    def json(self) -> str:
        """`{"names": [...], "columns": [[...]]}` with every number written as in the CSV and null for an empty cell.

        It is safe inside a <script> element.
        """
        columns = [[_token(cell) for cell in column] for column in zip(*self.rows, strict=True)]
        inside = ",\n".join(f"[{','.join(column)}]" for column in columns)
        text = f'{{"names":{json.dumps(self.names)},\n"columns":[\n{inside}]}}'
        return text.replace("<", "\\u003c")

    def sha256(self) -> str:
        """Hash of the CSV as it is written."""
        return hashlib.sha256(self.csv().encode()).hexdigest()


def features(view: View) -> Features:
    """Concatenate the tables that the measure records of the target hold.

    Raises:
        UserError: a table that the record lists is not readable.
    """
    tables: list[tuple[list[str], list[dict[str, str]]]] = []
    for arm in view.arms:
        up = view.measure("target", arm)
        tables += [_read(up, arm, seed) for seed in up.record.seeds.get("seeds", ())] if up else []
    found = dict.fromkeys(name for names, _ in tables for name in names)
    names = [*OWN, *sorted((n for n in found if n not in OWN), key=column_order)]
    return Features(names, [[row.get(name, "") for name in names] for _, rows in tables for row in rows])


def _read(up: Upstream, arm: str, seed: int) -> tuple[list[str], list[dict[str, str]]]:
    path: Path = up.folder / f"features-seed{seed}.csv"
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            rows = [{"source": "target", "arm": arm, "seed": str(seed)} | row for row in reader]
            return list(reader.fieldnames or ()), rows
    except (OSError, csv.Error, UnicodeDecodeError):
        raise UserError(f"{path} is missing or not readable: run the study again into a new folder") from None


def _token(cell: str) -> str:
    """A cell as JSON: a number as it is written, null for an empty one, else text."""
    if cell == "":
        return "null"
    return cell if NUMBER.fullmatch(cell) else json.dumps(cell)
