"""`husai run`, and what can be run: studies and architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from husai.cli.options import HERE, AsJson, Results, Set, Workers
from husai.cli.program import app
from husai.cli.speaking import answer, shown


@app.command(epilog="Example: husai run quickstart --set seeds=8 --results my-results")
def run(
    study: Annotated[str, typer.Argument(help="Name of a study (see: husai studies) or path of your own .py file.")],
    set_: Set = None,
    results: Results = HERE,
    workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with time and disk; run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study to its verdict and report; a finished one is returned, an interrupted one goes on."""
    from husai.studies.presenting import run as present_run
    from husai.studies.programmes.run import undertaking
    from husai.studies.runner import default_workers

    chosen, processes = _study(study, set_ or []), workers or default_workers()
    if dry_run:
        data, text = present_run.dry_run(chosen, processes)
        answer(data) if as_json else print(text)
        return
    with shown(as_json):
        folder, record = undertaking(chosen, results, processes).start()
    data, text = present_run.answer(folder, record)
    answer(data) if as_json else print(text)


def _study(text: str, assignments: list[str]) -> Any:
    if text.endswith(".py") or "/" in text:
        from husai.studies.load import study_from_file

        return study_from_file(Path(text)).override(assignments)
    from husai.recipes import made

    return made(text, assignments)


@app.command(epilog="Example: husai studies --json")
def studies(as_json: AsJson = False) -> None:
    """List the studies that come with husai."""
    from husai.recipes import RECIPES, made

    found = {name: made(name).question for name in RECIPES}
    if as_json:
        answer(found)
        return
    for name, question in found.items():
        print(f"{name:<20} {question}")


@app.command(epilog="Example: husai architectures --json")
def architectures(as_json: AsJson = False) -> None:
    """List what can be trained or compared with: source, codes, engine, and the field that moves L0."""
    from dataclasses import asdict

    from husai.training.catalogue import catalogue

    found = catalogue()
    if as_json:
        answer([asdict(entry) for entry in found])
        return
    print(f"{'':<19} {'codes':<7} {'engine':<10} {'role':<10} {'L0 by':<10} {'source':<17} what it is")
    for e in found:
        source = e.source if len(e.source) < 18 else "see its file"
        print(f"{e.kind:<19} {e.codes:<7} {e.engine:<10} {e.role:<10} {e.knob or '-':<10} {source:<17} {e.summary}")
    for entry in found:
        if entry.codes == "sparse" and entry.why:
            print(f"{entry.kind}: engine reference, because {entry.why}")
