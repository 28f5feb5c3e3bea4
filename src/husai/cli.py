"""The command line. Each command imports what it needs when it runs, so that `--help` and the audit start at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from husai.errors import HusaiError, Interrupted, UserError
from husai.events import Silent, listening, stop_on_signals

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which features of a sparse autoencoder come back across seeds, beyond matched nulls?",
    epilog="Start with: husai run quickstart",
)

Results = Annotated[Path, typer.Option("--results", help="Folder that keeps every run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout, no progress.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a field; repeatable.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes, one thread each. [default: one per core]")]
HERE = Path("results")
AT_ONCE = "stopped at once; everything finished is kept: run the same command again to go on"


def main(last_words: Callable[[], None] = lambda: None) -> None:
    """Entry point: what a user can put right is one line on stderr and exit code 2; an interruption exits 130.

    `last_words` is called before that line, after which no other may come.
    """
    try:
        code = app(standalone_mode=False, prog_name="husai") or 0
        sys.stdout.flush()
        sys.exit(code)
    except (Interrupted, KeyboardInterrupt, typer.Abort) as error:
        _leave(str(error) or AT_ONCE, 130, last_words)
    except HusaiError as error:
        _leave(str(error), 2, last_words)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # a wrong option or argument
        if usage is None:
            raise
        place = getattr(getattr(error, "ctx", None), "command_path", "husai")
        _leave(f"{usage().rstrip('.?')}; see {place} --help", 2, last_words)


def _leave(message: str, code: int, last_words: Callable[[], None]) -> None:
    last_words()
    print(f"husai: {message}", file=sys.stderr)
    sys.exit(code)


@contextmanager
def _shown(quiet: bool) -> Iterator[None]:
    """Progress on stderr unless quiet; Ctrl-C and SIGTERM save and stop, a second one stops at once."""
    from husai.console import Terminal

    try:
        if quiet:
            with listening(Silent()), stop_on_signals():
                yield
            return
        with Terminal() as terminal, listening(terminal), stop_on_signals():
            yield
    except KeyboardInterrupt:
        raise Interrupted(AT_ONCE) from None


def _answer(data: Any) -> None:
    print(json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False))


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
    from husai.studies import present_run
    from husai.studies.programme_run import undertaking
    from husai.studies.runner import default_workers

    chosen, processes = _study(study, set_ or []), workers or default_workers()
    if dry_run:
        data, text = present_run.dry_run(chosen, processes)
        _answer(data) if as_json else print(text)
        return
    with _shown(as_json):
        folder, record = undertaking(chosen, results, processes).start()
    data, text = present_run.answer(folder, record)
    _answer(data) if as_json else print(text)


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
        _answer(found)
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
        _answer([asdict(entry) for entry in found])
        return
    print(f"{'':<19} {'codes':<7} {'engine':<10} {'role':<10} {'L0 by':<10} {'source':<17} what it is")
    for e in found:
        source = e.source if len(e.source) < 18 else "see its file"
        print(f"{e.kind:<19} {e.codes:<7} {e.engine:<10} {e.role:<10} {e.knob or '-':<10} {source:<17} {e.summary}")
    for entry in found:
        if entry.codes == "sparse" and entry.why:
            print(f"{entry.kind}: engine reference, because {entry.why}")


@app.command(epilog="Example: husai capture --set source.task.p=59  |  husai capture --from acts.npy")
def capture(
    from_: Annotated[Path | None, typer.Option("--from", help="Your own .npy, .safetensors or .pt file.")] = None,
    key: Annotated[str | None, typer.Option(help="Name of the array, where the file holds several.")] = None,
    d_in: Annotated[int | None, typer.Option(min=1, help="Declared width of a row; must match.")] = None,
    set_: Set = None,
    results: Results = HERE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Train a model and capture its activations, or take them from a file; prints the folder."""
    from husai.activations.source import ExternalSource
    from husai.studies.alone import CaptureJob, capture_alone
    from husai.studies.runner import default_workers

    if from_ is None and (key is not None or d_in is not None):
        raise UserError("--key and --d-in describe a file of your own: name it with --from")
    given = CaptureJob(source=ExternalSource(path=str(from_.resolve()), key=key, d_in=d_in)) if from_ else CaptureJob()
    job = given.override(set_ or [])
    with _shown(as_json):
        folder, record = capture_alone(job, results, workers or default_workers())
    if as_json:
        _answer({"folder": str(folder), "record": record.plain()})
        return
    print(record.facts["rows"])
    print(folder)


@app.command(epilog="Example: husai train acts.npy --set sae.k=8 --set training.steps=2000")
def train(
    activations: Annotated[Path, typer.Argument(help="A folder that husai capture printed, or your own file.")],
    key: Annotated[str | None, typer.Option(help="Name of the array, where the file holds several.")] = None,
    d_in: Annotated[int | None, typer.Option(min=1, help="Declared width of a row; must match.")] = None,
    set_: Set = None,
    results: Results = HERE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Train several seeds of one SAE together and measure them; one folder per seed."""
    from husai.studies import present
    from husai.studies.alone import TrainJob, given_activations, train_alone
    from husai.studies.runner import default_workers

    job = TrainJob().override(set_ or [])
    with _shown(as_json):
        given = given_activations(activations, key, d_in, job.root_seed)
        folder, records = train_alone(job, given, results, workers or default_workers())
    if as_json:
        _answer({"folder": str(folder), "records": {role: record.plain() for role, record in records.items()}})
        return
    print(present.record(records["measure"]))
    print(folder)


SAEs = Annotated[list[str], typer.Argument(metavar="SAE...", help="Folders or files; a stack gives all its seeds.")]
Rows = Annotated[Path | None, typer.Option("--activations", help="Activations of the same hook: a folder or file.")]
Key = Annotated[str | None, typer.Option(help="Name of the array, where the file holds several.")]
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
    from husai.studies import measure_existing, present_existing

    request = measure_existing.asked(activations, key, rows, threshold, null, k, steps, results, workers)
    with _shown(as_json):
        found = measure_existing.stability(saes, request)
        if csv is not None:
            measure_existing.write_features(found, csv)
        data, text = present_existing.stability(found)
    _answer(data) if as_json else print(text)


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
    from husai.studies import measure_existing, present_comparison

    request = measure_existing.asked(activations, key, rows, 0.7, null, k, steps, results, workers)
    with _shown(as_json):
        found = measure_existing.compare(saes, request, same_seeds)
        data, text = present_comparison.comparison(found)
    _answer(data) if as_json else print(text)


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

    with _shown(as_json):
        done = convert_path(source, folder, to, seed)
    if as_json:
        _answer(
            {"folder": str(folder), "tool": to, "files": done.files, "from": done.loaded.tool, "seed": done.loaded.seed}
        )
        return
    print(f"{done.loaded.name} ({done.loaded.tool}) as {to}: {', '.join(done.files)}")
    print(folder)


@app.command(epilog="Example: husai calibrate --activations acts.npy --k 4,8,16,32 --ev-floor 0.2")
def calibrate(
    activations: Annotated[Path, typer.Option("--activations", help="A folder that husai capture printed, or a file.")],
    k: Annotated[str, typer.Option("--k", help="The k to try, e.g. 4,8,16,32.")] = "4,8,16,32",
    ev_floor: Annotated[float, typer.Option("--ev-floor", help="Least explained variance.")] = 0.2,
    key: Key = None,
    d_in: Annotated[int | None, typer.Option(min=1, help="Declared width of a row; must match.")] = None,
    set_: Set = None,
    results: Results = HERE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Which k of a TopK SAE may be recommended for these activations? Often none, and it says why."""
    from husai.studies import present_run
    from husai.studies.calibrate_alone import calibration_on
    from husai.studies.calibration_run import CalibrationRun
    from husai.studies.runner import default_workers

    with _shown(as_json):
        chosen = calibration_on(activations, key, d_in, k, ev_floor, set_ or [])
        folder, record = CalibrationRun(chosen, results, workers or default_workers()).start()
    data, text = present_run.answer(folder, record)
    _answer(data) if as_json else print(text)


Run_ = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, the start of its id, or a study's name.")]


@app.command(epilog="Example: husai show quickstart")
def show(run: Run_, results: Results = HERE, as_json: AsJson = False) -> None:
    """Show what a run measured: verdict and tables of a study, all numbers of anything else."""
    from husai.store.index import find_run
    from husai.store.layout import read_record
    from husai.studies import present_run

    folder = find_run(run, results)
    record = read_record(folder)
    _answer(record.plain()) if as_json else print(present_run.shown(folder, record))


@app.command(epilog="Example: husai features quickstart --arm k4 --seed 0 > features.csv")
def features(
    run: Run_,
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
    run: Run_,
    to: Annotated[Path | None, typer.Option(help="Write the pages again from the records, into this folder.")] = None,
    results: Results = HERE,
) -> None:
    """Print the path of the report of a study, survey, replay or programme, or write it afresh from the records."""
    from husai.store.index import find_run
    from husai.studies import present

    with _shown(quiet=False):
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
        _answer(found.plain())
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
        _answer([vars(c) for c in checks])
    else:
        for check in checks:
            mark, advice = ("ok ", "") if check.ok else ("NO ", f"  -> {check.advice}")
            print(f"{mark} {check.name:<22} {check.found}{advice}")
    raise typer.Exit(0 if all(c.ok or c.optional for c in checks) else 1)
