"""What was found: show, features, report, audit; and doctor, which looks at the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from husai.cli.options import HERE, AsJson, Results
from husai.cli.program import app
from husai.cli.speaking import answer, shown
from husai.errors import UserError

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, the start of its id, or a study's name.")]


@app.command(epilog="Example: husai show quickstart")
def show(run: RunName, results: Results = HERE, as_json: AsJson = False) -> None:
    """Show what a run measured: verdict and tables of a study, all numbers of anything else."""
    from husai.store.index import find_run
    from husai.store.layout import read_record
    from husai.studies.presenting import run as present_run

    folder = find_run(run, results)
    record = read_record(folder)
    answer(record.plain()) if as_json else print(present_run.shown(folder, record))


@app.command(epilog="Example: husai features quickstart --arm k4 --seed 0 > features.csv")
def features(
    run: RunName,
    arm: Annotated[str | None, typer.Option(help="Only this arm; of a survey, one has to be named.")] = None,
    setting: Annotated[str | None, typer.Option(help="Setting of a survey, where several have that arm.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Only this seed.")] = None,
    results: Results = HERE,
) -> None:
    """Print the per-feature table as CSV: partners in each seed, reappearance, frequency, variance."""
    from husai.store.features import feature_lines
    from husai.store.index import find_run

    for line in feature_lines(find_run(run, results), arm, seed, setting):
        print(line)


@app.command(epilog="Example: husai report quickstart --to pages")
def report(
    run: RunName,
    to: Annotated[Path | None, typer.Option(help="Write the pages again from the records, into this folder.")] = None,
    results: Results = HERE,
) -> None:
    """Print the path of the report of a study, survey, replay or programme, or write it afresh from the records."""
    from husai.store.index import find_run
    from husai.studies.presenting import present

    with shown(quiet=False):
        path = present.report(find_run(run, results), results, to)
    print(path)


@app.command(epilog="Example: husai audit results")
def audit(
    folder: Annotated[Path, typer.Argument(help="A run folder, a study's folder, or a whole results folder.")],
    as_json: AsJson = False,
) -> None:
    """Check every hash, and that every number of every report resolves to a record; exit code 1 if not."""
    from husai.store.audit import audit as check

    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give a run folder or a results folder")
    found = check(folder)
    if as_json:
        answer(found.plain())
    else:
        for line in found.findings:
            print(line)
        print(found.words())
    raise typer.Exit(0 if found.passed else 1)


@app.command(epilog="Example: husai doctor --json")
def doctor(results: Results = HERE, as_json: AsJson = False) -> None:
    """Check this machine: versions, threads, processor, disk, and what is missing."""
    from husai.doctor import examine

    checks = examine(results)
    if as_json:
        answer([vars(c) for c in checks])
    else:
        for check in checks:
            mark, advice = ("ok ", "") if check.ok else ("NO ", f"  -> {check.advice}")
            print(f"{mark} {check.name:<22} {check.found}{advice}")
    raise typer.Exit(0 if all(c.ok or c.optional for c in checks) else 1)
