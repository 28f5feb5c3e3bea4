"""What a finished run answers: in words, as JSON with nothing else on stdout, as CSV, as pages, and under audit."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import pytest

from husai.store.index import Results
from husai.store.layout import read_record


def test_the_smoke_study_ends_with_a_verdict_in_words_in_time(smoke):
    answer = json.loads(smoke.out)
    assert set(answer) == {"id", "caveats", "report", "run", "verdict"}
    assert smoke.err == ""
    record = read_record(smoke.run)
    assert record.kind == "study"
    assert answer["verdict"] == json.loads(json.dumps(record.facts["verdict"]))
    assert record.facts["verdict"]["state"] in ("supported", "not beyond", "undecided", "no verdict")
    assert smoke.seconds < 240  # a quiet machine with 2 cores needs less than 30


def test_every_part_of_it_is_on_disk(smoke):
    held = {p.name for p in smoke.run.iterdir()}
    assert {"COMPLETE", "record.json", "metrics.json", "config.yaml", "summary.md", "report.html", "plots"} <= held
    seeds = [p for p in smoke.run.parent.iterdir() if p.is_dir() and p != smoke.run]
    assert len(seeds) == 2 * (5 * 5 + 5 * 2)
    for folder in seeds:
        held = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert {"plots/training.png", "checkpoints/sae.safetensors", "summary.md", "metrics.json"} <= held
    assert not list(smoke.results.rglob(".partial-*/"))
    assert not list(smoke.results.rglob("*.tmp"))


def test_asked_again_it_is_returned(husai, smoke):
    ledger = (smoke.run.parent / "ledger.jsonl").read_bytes()
    said = husai("run", "smoke", "--results", smoke.results)
    assert said.code == 0
    assert said.err.splitlines() == [f"already complete: {smoke.run}"]
    assert said.out.splitlines()[-1] == str((smoke.run / "report.html").resolve())
    assert husai("run", "smoke", "--results", smoke.results, "--json").out == smoke.out
    assert (smoke.run.parent / "ledger.jsonl").read_bytes() == ledger


def test_show_gives_verdict_and_tables(husai, smoke):
    said = husai("show", "smoke", "--results", smoke.results)
    assert said.code == 0
    record = read_record(smoke.run)
    assert record.facts["question"] in said.out
    assert record.facts["verdict"]["words"] in said.out
    for source in ("target", "gaussian", "gaussian-2", "planted", "planted-gaussian", "random_model"):
        assert source in said.out
    number = record.get("mcc_signed", source="target", arm="k2", population="alive").value
    assert f"{number:.4g}" in said.out


def test_show_answers_in_json(husai, smoke):
    said = husai("show", read_record(smoke.run).id[:6], "--results", smoke.results, "--json")
    assert json.loads(said.out)["kind"] == "study"
    assert said.err == ""


@pytest.mark.parametrize("kind", ["model", "activations", "stack", "measure", "splice", "fourier", "seed"])
def test_show_knows_every_kind(husai, smoke, kind):
    folder = next(f for f in Results(smoke.results).folders() if read_record(f).kind == kind)
    record = read_record(folder)
    said = husai("show", folder)
    assert said.code == 0
    assert record.id in said.out
    known = next((m for m in record.measurements if m.value is not None), None)
    assert known is None or known.name in said.out
    for command in ("report", "features"):
        assert f"is a run of kind '{kind}'" in husai(command, folder, "--results", smoke.results).complaint


def test_features_are_csv(husai, smoke):
    said = husai("features", "smoke", "--results", smoke.results)
    header, *rows = list(csv.reader(io.StringIO(said.out)))
    arm, seed = header.index("arm"), header.index("seed")
    assert {row[arm] for row in rows} == {"k2", "k8"}
    assert {row[seed] for row in rows} == set("01234")
    few = husai("features", "smoke", "--arm", "k8", "--seed", 3, "--results", smoke.results).out.splitlines()
    assert few[0] == said.out.splitlines()[0]
    assert len(few) - 1 == sum(row[arm] == "k8" and row[seed] == "3" for row in rows)
    wrong = husai("features", "smoke", "--arm", "k9", "--results", smoke.results)
    assert "unknown arm 'k9': did you mean" in wrong.complaint


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("features", "smoke"), ("studies",)])
def test_a_reader_that_stops_reading_is_no_error(smoke, words, unbuffered):
    where = ("--results", smoke.results) if len(words) == 2 else ()
    command, env = [sys.executable, "-m", "husai", *words, *where], os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, "")


def test_the_report_is_found_and_written_again_the_same(husai, smoke, tmp_path):
    said = husai("report", "smoke", "--results", smoke.results)
    assert said.out.strip() == str((smoke.run / "report.html").resolve())
    made = husai("report", "smoke", "--results", smoke.results, "--to", tmp_path / "pages")
    assert made.out.strip() == str(tmp_path / "pages" / "report.html")
    for name in ("report.html", "summary.md", "features.csv"):
        assert (tmp_path / "pages" / name).read_bytes() == (smoke.run / name).read_bytes()


def test_the_audit_passes_and_finds_one_changed_byte(husai, smoke, tmp_path):
    said = husai("audit", smoke.results, "--json")
    assert said.code == 0, said.out
    assert json.loads(said.out)["passed"] is True
    copy = tmp_path / "copy"
    shutil.copytree(smoke.results, copy)
    (metrics,) = copy.glob(f"experiments/smoke/{smoke.run.name}/metrics.json")
    metrics.write_bytes(metrics.read_bytes() + b" ")
    said = husai("audit", copy)
    assert said.code == 1
    assert "metrics.json" in said.out
    assert json.loads(husai("audit", copy, "--json").out)["passed"] is False


def test_the_doctor_looks_and_leaves_nothing(husai, tmp_path):
    said = husai("doctor", "--results", tmp_path / "a" / "b", "--json")
    checks = {check["name"]: check for check in json.loads(said.out)}
    assert {"python", "torch", "numpy", "processor", "results folder", "free disk"} <= set(checks)
    assert checks["results folder"]["ok"] is True
    assert said.code == (0 if all(c["ok"] or c["optional"] for c in checks.values()) else 1)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    said = husai("doctor", "--results", tmp_path / "file")
    assert said.code == 1
    assert "NO  results folder" in said.out and "choose another with --results" in said.out


def test_a_dry_run_prints_and_runs_nothing(husai, tmp_path, monkeypatch, own_study):
    monkeypatch.chdir(tmp_path)
    said = husai("run", own_study, "--dry-run", "--json")
    answer = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert answer["nodes"][0]["kind"] == "activations"
    assert 0 < answer["seconds"]["low"] <= answer["seconds"]["high"] < 600
    assert answer["bytes"] > 0
    said = husai("run", own_study, "--dry-run", "--workers", 3)
    assert answer["nodes"][0]["id"] in said.out
    assert "time with 3 processes" in said.out
    assert "nothing was run" in said.out
    assert not list(tmp_path.iterdir())


def test_the_estimate_is_of_the_right_size(husai, smoke):
    answer = json.loads(husai("run", "smoke", "--dry-run", "--json").out)
    seconds, size = answer["seconds"], sum(p.stat().st_size for p in smoke.results.rglob("*") if p.is_file())
    assert smoke.seconds / 6 < seconds["low"] <= seconds["high"] < 6 * smoke.seconds
    assert size / 6 < answer["bytes"] < 6 * size


def test_capture_and_train_answer_in_json(husai, tmp_path, rows, short):
    where = ("--results", tmp_path / "results", "--json")
    captured = husai("capture", "--from", rows, *where)
    answer = json.loads(captured.out)
    assert captured.err == ""
    assert answer["record"]["kind"] == "activations"
    trained = husai("train", answer["folder"], *short, *where)
    assert trained.err == ""
    assert set(json.loads(trained.out)["records"]) == {"stack", "measure"}
    assert husai("train", rows, *short, *where).out == trained.out
    assert json.loads(husai("studies", "--json").out).keys() >= {"smoke", "quickstart"}
