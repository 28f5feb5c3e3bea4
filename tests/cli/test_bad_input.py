"""Bad input: one line on stderr that says what to do, exit code 2, nothing half-written, earlier results untouched."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

HOOK = "target.hook_name=blocks.0.hook_resid_pots"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("smok",), "unknown study 'smok': did you mean 'smoke'?"),
        (("quikstart",), "did you mean 'quickstart'?"),
        (("./none.py",), "none.py does not exist"),
        (("smoke", "--set", "training.lrr=1"), "unknown key 'lrr': did you mean 'lr'?"),
        (("smoke", "--set", "trainin.lr=1"), "unknown key 'trainin': did you mean 'training'?"),
        (("smoke", "--set", "arms.2.sae.k=1"), "'2' is not an index; valid: 0 to 1"),
        (("smoke", "--set", "seeds=many"), "valid integer"),
        (("smoke", "--set", "training.lr=.nan"), "finite"),
        (("smoke", "--set", "training.lr=-1"), "greater than 0"),
        (("smoke", "--set", HOOK), "unknown hook 'blocks.0.hook_resid_pots': did you mean 'blocks.0.hook_resid_post'?"),
        (("smoke", "--set", "arms.1.sae.k=48"), "k = 48 is not sparse for d_in = 64, d_sae = 48: choose k below 48"),
        (("smoke", "--set", "arms.0.sae.k=8"), "the arms differ in nothing"),
        (("smoke", "--set", "training.steps=61"), "training.steps must be even"),
        (("smoke", "--set", "target.task.train_fraction=1e-9"), "the training side of the split is empty"),
        (("smoke", "--set", "target.task.p=2"), "greater than or equal to 3"),
        (("smoke", "--set", "target.positions=[7]"), "has positions 0 to 2"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_study_that_cannot_run_is_refused_before_anything_is_made(husai, tmp_path, words, complaint, more):
    said = husai("run", *words, *more, "--results", tmp_path / "results")
    assert complaint in said.complaint
    assert said.out == ""
    assert not (tmp_path / "results").exists()


def test_a_code_that_is_hardly_sparse_is_warned_about(husai, tmp_path, own_study, rows, short):
    said = husai("run", own_study, "--set", "arms.1.sae.k=4", "--dry-run")
    assert "warning: k3: k = 4 is half of min(d_in, d_sae) = 8 or more" in said.out
    said = husai("train", rows, *short, "--set", "sae.k=8", "--results", tmp_path / "results")
    assert said.code == 0
    assert "warning: k = 8 is half of min(d_in, d_sae) = 16 or more: the code is hardly sparse" in said.err


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda x: np.where(np.arange(len(x))[:, None] == 7, np.nan, x), "row 7"),
        (lambda x: np.ones_like(x), "all"),
        (lambda x: x[:30], "fewer than"),
    ],
)
def test_rows_that_mean_nothing(husai, rows, short, trained, contents, change, complaint):
    before = contents(trained)
    np.save(rows, change(np.load(rows)))
    said = husai("train", rows, *short, "--set", "sae.d_sae=40", "--results", trained)
    assert complaint in said.complaint
    assert before.items() <= contents(trained).items()
    assert husai("audit", trained).code == 0


def test_a_model_that_fails_its_checks_is_refused_with_the_numbers(husai, tmp_path):
    leaky = ("--set", "target.task.layout=legacy_leaky", "--set", "target.pretrain.max_steps=20")
    said = husai("run", "smoke", *leaky, "--results", tmp_path)
    for part in ("is not worth reading", "held-out rows answered correctly", "label told by the tokens", "FAILED"):
        assert part in said.complaint
    whole = [p.parent.name.split("-")[0] for p in tmp_path.glob("nodes/*/COMPLETE")]
    assert "model" in whole
    assert not list(tmp_path.glob("experiments/smoke/*/"))


@pytest.mark.parametrize("place", ["", "experiments", "experiments/train", "nodes"])
def test_a_file_in_the_place_of_a_folder(husai, tmp_path, rows, short, place):
    (tmp_path / "results" / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "results" / place).write_text("mine")
    said = husai("train", rows, *short, "--results", tmp_path / "results")
    assert "a file stands where a folder is needed" in said.complaint
    assert (tmp_path / "results" / place).read_text() == "mine"


def test_a_file_in_the_place_of_the_results_of_a_study(husai, tmp_path):
    (tmp_path / "results").write_text("mine")
    said = husai("run", "smoke", "--results", tmp_path / "results")
    assert "a file stands where a folder is needed" in said.complaint


@pytest.mark.skipif(os.geteuid() == 0, reason="rights do not stop root")
def test_a_results_folder_without_rights(husai, tmp_path, rows, short):
    (tmp_path / "results").mkdir(mode=0o500)
    said = husai("train", rows, *short, "--results", tmp_path / "results")
    assert "change its rights" in said.complaint


def test_a_full_disk(husai, rows, short, trained, contents):
    """400 bytes: not even the ledger; 30 kB: the rows cannot be written."""
    before = contents(trained)
    np.save(rows, np.load(rows)[::-1])
    for size in (400, 30_000):
        run = subprocess.run(
            [sys.executable, "-m", "husai", "train", rows, *short, "--results", trained],
            preexec_fn=lambda size=size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 2, run.stderr
        assert run.stdout == ""
        assert run.stderr.splitlines()[-1].startswith("husai: no space left while writing")
        assert "Traceback" not in run.stderr
        assert contents(trained) == before
    assert husai("train", rows, *short, "--results", trained).code == 0
    assert contents(trained).items() > before.items()
    assert husai("audit", trained).code == 0


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_shard_of_finished_activations(husai, short, trained, damage):
    (shard,) = trained.glob("nodes/activations-*/rows/shard-*")
    data = bytearray(shard.read_bytes())
    if damage == "cut":
        shard.write_bytes(data[: len(data) // 2])
    elif damage == "changed":
        data[-100] ^= 1
        shard.write_bytes(data)
    else:
        shard.unlink()
    said = husai("train", shard.parent.parent, *short, "--set", "sae.k=2", "--results", trained)
    assert shard.name in said.complaint
    assert said.complaint.endswith(f"remove {shard.parent.parent} and run the same command again")
    assert len(list(trained.glob("nodes/stack-*"))) == 1
    assert husai("audit", trained).code == 1


def test_a_damaged_record_is_made_again_and_kept_aside(husai, rows, short, trained, contents):
    before = contents(trained)
    (node,) = trained.glob("nodes/stack-*")
    (node / "record.json").write_text('{"id": "')
    assert husai("train", rows, *short, "--results", trained).code == 0
    (aside,) = trained.glob("nodes/stack-*.damaged-*")
    assert (aside / "record.json").read_text() == '{"id": "'
    after = contents(trained)
    changed = {name for name in before if after[name] != before[name]}
    assert {name.rsplit("/", 1)[1] for name in changed} <= {"record.json", "COMPLETE"}


def test_a_second_process_on_the_same_run(husai, tmp_path, rows):
    results = tmp_path / "results"
    long = ("train", rows, "--set", "sae.d_sae=16", "--set", "sae.k=3", "--set", "training.steps=2000000")
    command = [sys.executable, "-m", "husai", *map(str, long), "--results", str(results)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        try:
            while not (list(results.glob("nodes/*/COMPLETE")) and list(results.glob("nodes/.partial-*/"))):
                assert first.poll() is None, first.stderr.read()
            said = husai(*long, "--results", results)
            assert "another process is already working on run" in said.complaint
            assert "wait for it, or use another folder with --results" in said.complaint
        finally:
            first.terminate()
        err = first.stderr.read()
    assert first.returncode == 130
    assert err.splitlines()[-1] == "husai: stopped; everything finished is kept: run the same command again to go on"
    assert "Traceback" not in err


def test_a_file_of_the_users_that_fails(husai, tmp_path):
    (tmp_path / "own.py").write_text("def study():\n    return open('/nowhere')\n")
    said = husai("run", tmp_path / "own.py", "--results", tmp_path / "results")
    assert "failed at line 2: FileNotFoundError" in said.complaint
    assert not (tmp_path / "results").exists()


def test_what_is_asked_of_a_run_that_is_not_there(husai, tmp_path):
    for command in ("show", "features", "report"):
        assert "there is nothing to choose from" in husai(command, "smoke", "--results", tmp_path).complaint
    assert "is not a folder" in husai("audit", tmp_path / "none").complaint
    assert "holds no run folder" in husai("audit", tmp_path).complaint
