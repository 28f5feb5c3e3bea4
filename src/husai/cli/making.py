"""Single steps on a model or on activations: capture, train, calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from husai.cli.options import HERE, AsJson, Key, Results, Set, Width, Workers
from husai.cli.program import app
from husai.cli.speaking import answer, shown
from husai.errors import UserError


@app.command(epilog="Example: husai capture --set source.task.p=59  |  husai capture --from acts.npy")
def capture(
    from_: Annotated[Path | None, typer.Option("--from", help="Your own .npy, .safetensors or .pt file.")] = None,
    key: Key = None,
    d_in: Width = None,
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
    with shown(as_json):
        folder, record = capture_alone(job, results, workers or default_workers())
    if as_json:
        answer({"folder": str(folder), "record": record.plain()})
        return
    print(record.facts["rows"])
    print(folder)


@app.command(epilog="Example: husai train acts.npy --set sae.k=8 --set training.steps=2000")
def train(
    activations: Annotated[Path, typer.Argument(help="A folder that husai capture printed, or your own file.")],
    key: Key = None,
    d_in: Width = None,
    set_: Set = None,
    results: Results = HERE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Train several seeds of one SAE together and measure them; one folder per seed."""
    from husai.studies.alone import TrainJob, given_activations, train_alone
    from husai.studies.presenting import present
    from husai.studies.runner import default_workers

    job = TrainJob().override(set_ or [])
    with shown(as_json):
        given = given_activations(activations, key, d_in, job.root_seed)
        folder, records = train_alone(job, given, results, workers or default_workers())
    if as_json:
        answer({"folder": str(folder), "records": {role: record.plain() for role, record in records.items()}})
        return
    print(present.record(records["measure"]))
    print(folder)


@app.command(epilog="Example: husai calibrate --activations acts.npy --k 4,8,16,32 --ev-floor 0.2")
def calibrate(
    activations: Annotated[Path, typer.Option("--activations", help="A folder that husai capture printed, or a file.")],
    k: Annotated[str, typer.Option("--k", help="The k to try, e.g. 4,8,16,32.")] = "4,8,16,32",
    ev_floor: Annotated[float, typer.Option("--ev-floor", help="Least explained variance.")] = 0.2,
    key: Key = None,
    d_in: Width = None,
    set_: Set = None,
    results: Results = HERE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Which k of a TopK SAE may be recommended for these activations? Often none, and it says why."""
    from husai.studies.calibrations.alone import calibration_on
    from husai.studies.calibrations.run import CalibrationRun
    from husai.studies.presenting import run as present_run
    from husai.studies.runner import default_workers

    with shown(as_json):
        chosen = calibration_on(activations, key, d_in, k, ev_floor, set_ or [])
        folder, record = CalibrationRun(chosen, results, workers or default_workers()).start()
    data, text = present_run.answer(folder, record)
    answer(data) if as_json else print(text)
