"""Lines of per-feature tables: of a study, filtered by arm and seed, or of one arm of a survey."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from husai.errors import UserError, unknown
from husai.store.audit import results_root
from husai.store.index import Results
from husai.store.layout import read_record
from husai.store.record import RunRecord

FILE = "features.csv"
Row = dict[str, str]


def feature_lines(folder: Path, arm: str | None, seed: int | None, setting: str | None = None) -> Iterator[str]:
    """Header and rows of the table of a study's run folder, or of one arm of a survey.

    Raises:
        UserError: the run has no such table, or no such setting, arm or seed; a survey's arm is not named.
    """
    record = read_record(folder)
    if record.kind == "survey":
        header, rows = _of_survey(folder, record, setting, arm)
    else:
        header, rows = _of_study(folder, record, setting, arm)
    if seed is not None:
        rows = _only(rows, "seed", str(seed))
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    yield from out.getvalue().splitlines()


def _of_study(folder: Path, record: RunRecord, setting: str | None, arm: str | None) -> tuple[list[str], list[Row]]:
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"{folder} holds no {FILE} (it is a run of kind '{record.kind}'): give the run folder of a study"
        )
    if setting is not None:
        raise UserError("--setting chooses among the settings of a survey: leave it out, this is a study")
    header, rows = _read(path)
    return header, rows if arm is None else _only(rows, "arm", arm)


def _of_survey(folder: Path, record: RunRecord, setting: str | None, arm: str | None) -> tuple[list[str], list[Row]]:
    """The tables of every seed of one arm on its source, from the node that measured it."""
    there = [(entry["setting"], entry["arm"], entry["steps"]) for entry in record.facts["arms"]]
    if arm is None:
        raise UserError(
            f"a survey has {len(there)} arms: name one, such as --arm {there[0][1]} --setting {there[0][0]}"
        )
    if setting is not None and setting not in {place[0] for place in there}:
        raise unknown("setting", setting, {place[0] for place in there})
    fits = [place for place in there if place[1] == arm and setting in (None, place[0])]
    if not fits:
        raise unknown("arm", arm, {place[1] for place in there if setting in (None, place[0])})
    if len(fits) > 1:
        raise UserError(f"arm '{arm}' stands in {', '.join(place[0] for place in fits)}: choose one with --setting")
    ((found, _, steps),) = fits
    root = results_root(folder.resolve())
    if root is None:
        raise UserError(f"{folder} stands alone: the tables lie in the results folder that it was written into")
    node = record.parents[f"measure {found} target {arm} {steps}"]
    return _merged(Results(root).node_folder("measure", node), {"setting": found, "source": "target", "arm": arm})


def _merged(folder: Path, own: Row) -> tuple[list[str], list[Row]]:
    header: dict[str, None] = dict.fromkeys([*own, "seed"])
    rows: list[Row] = []
    for seed in read_record(folder).seeds["seeds"]:
        names, found = _read(folder / f"features-seed{seed}.csv")
        header |= dict.fromkeys(names)
        rows += [own | {"seed": str(seed)} | row for row in found]
    return sorted(header, key=column_order), rows


def column_order(name: str) -> tuple[int, int]:
    """Columns of the feature itself first, then those of each other seed, seed by seed."""
    head, _, seed = name.rpartition("_")
    return (1, int(seed)) if head and seed.isdigit() else (0, 0)


def _read(path: Path) -> tuple[list[str], list[Row]]:
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            rows = list(reader)
            return list(reader.fieldnames or ()), rows
    except (OSError, csv.Error, UnicodeDecodeError):
        raise UserError(f"{path} is missing or not readable: run the study again into a new folder") from None


def _only(rows: list[Row], column: str, wanted: str) -> list[Row]:
    names = {row[column] for row in rows}
    if wanted not in names:
        raise unknown(column, wanted, names)
    return [row for row in rows if row[column] == wanted]
