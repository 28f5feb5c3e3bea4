"""SAEs that exist already: stability, compare, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from husai.cli.options import HERE, AsJson, Key, Results, Workers
from husai.cli.program import app
from husai.cli.speaking import answer, shown

SAEs = Annotated[list[str], typer.Argument(metavar="SAE...", help="Folders or files; a stack gives all its seeds.")]
Rows = Annotated[Path | None, typer.Option("--activations", help="Activations of the same hook: a folder or file.")]
MostRows = Annotated[int, typer.Option("--rows", min=2, help="At most so many rows are measured on.")]
Null = Annotated[str | None, typer.Option(help="Train a null beside: gaussian.")]
NullK = Annotated[int | None, typer.Option("--k", min=1, help="Null: a TopK of this k, not that of the SAEs.")]
NullSteps = Annotated[int | None, typer.Option("--steps", min=1, help="Null: so many steps, not those of the SAEs.")]


@app.command(epilog="Example: husai stability runs/*_k4_* --activations acts.npy --csv features.csv")
def stability(
    saes: SAEs,
    activations: Rows = None,
    key: Key = None,
    rows: MostRows = 65_536,
    threshold: Annotated[float, typer.Option(help="Cosine from which a feature comes back.")] = 0.7,
    csv: Annotated[Path | None, typer.Option(help="Write the per-feature table here.")] = None,
    null: Null = None,
    k: NullK = None,
    steps: NullSteps = None,
    results: Results = HERE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Measure how far the features of SAEs that exist already come back in each other."""
    from husai.studies.existing import measure as measure_existing
    from husai.studies.presenting import existing as present_existing

    request = measure_existing.asked(activations, key, rows, threshold, null, k, steps, results, workers)
    with shown(as_json):
        found = measure_existing.stability(saes, request)
        if csv is not None:
            measure_existing.write_features(found, csv)
        data, text = present_existing.stability(found)
    answer(data) if as_json else print(text)


@app.command(epilog="Example: husai compare runs/*_relu_* vs runs/*_topk_* --activations acts.npy")
def compare(
    saes: Annotated[list[str], typer.Argument(metavar="A... vs B...", help="SAEs of A, the word vs, SAEs of B.")],
    activations: Rows = None,
    key: Key = None,
    rows: MostRows = 65_536,
    same_seeds: Annotated[bool, typer.Option("--same-seeds", help="A and B have the same seeds, in order.")] = False,
    null: Null = None,
    k: NullK = None,
    steps: NullSteps = None,
    results: Results = HERE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Do two groups of SAEs differ in stability? Unmatched groups (k, L0) are not ranked."""
    from husai.studies.existing import measure as measure_existing
    from husai.studies.presenting import comparison as present_comparison

    request = measure_existing.asked(activations, key, rows, 0.7, null, k, steps, results, workers)
    with shown(as_json):
        found = measure_existing.compare(saes, request, same_seeds)
        data, text = present_comparison.comparison(found)
    answer(data) if as_json else print(text)


@app.command(epilog="Example: husai convert results/nodes/stack-3f2a my-sae --to saelens --seed 0")
def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder or file of an SAE, of any known tool.")],
    folder: Annotated[Path, typer.Argument(metavar="DST", help="New folder.")],
    to: Annotated[str, typer.Option(help="saelens, dictionary_learning, sparsify or husai.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Which one, where SRC holds several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write an SAE in the format of another tool: exactly the same function, or refused with the reason."""
    from husai.saes.formats.convert import convert_path

    with shown(as_json):
        done = convert_path(source, folder, to, seed)
    if as_json:
        answer(
            {"folder": str(folder), "tool": to, "files": done.files, "from": done.loaded.tool, "seed": done.loaded.seed}
        )
        return
    print(f"{done.loaded.name} ({done.loaded.tool}) as {to}: {', '.join(done.files)}")
    print(folder)
