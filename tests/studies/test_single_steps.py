"""Single steps on a user's own rows: three kinds of file, the same numbers, and the same folder when asked again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from husai.activations.cache import ActivationCache
from husai.activations.source import CapturedSource, ExternalSource
from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.saes.stack import load_stack
from husai.store.layout import read_record
from husai.studies.alone import CaptureJob, TrainJob, capture_alone, given_activations, train_alone
from husai.studies.ledger import Ledger
from husai.training.config import TrainingConfig

pytestmark = pytest.mark.usefixtures("in_process")
JOB = TrainJob(sae=TopKConfig(d_sae=24, k=4), training=TrainingConfig(steps=40, batch=64), seeds=2)


@pytest.fixture
def files(tmp_path, digits):
    """The same 300 images as .npy, .safetensors and .pt."""
    rows = digits[:300]
    np.save(tmp_path / "x.npy", rows)
    save_file({"pixels": rows, "labels": np.arange(3)}, tmp_path / "x.safetensors")
    torch.save({"pixels": torch.from_numpy(rows)}, tmp_path / "x.pt")
    return tmp_path


def events_of(folder) -> list[tuple[str, str]]:
    return [(e["event"], e["title"]) for e in Ledger(folder).events()]


def test_three_kinds_of_file_hold_the_same_rows(files, digits):
    found = []
    for name, key in (("x.npy", None), ("x.safetensors", "pixels"), ("x.pt", "pixels")):
        source = ExternalSource(path=str(files / name), key=key, d_in=64)
        folder, record = capture_alone(CaptureJob(source=source), files / "results", 1)
        assert capture_alone(CaptureJob(source=source), files / "results", 1) == (folder, record)
        assert read_record(folder) == record
        found.append(ActivationCache(folder / "rows"))
    assert all(np.array_equal(cache.to_array(), digits[:300]) for cache in found)
    assert len({cache.manifest.rows_sha256 for cache in found}) == 1
    assert [e for e, _ in events_of(files / "results" / "experiments" / "capture")] == ["started", "finished"] * 3


def test_training_on_a_file_or_on_its_captured_folder_is_the_same(files, digits):
    root = files / "results"
    folder, records = train_alone(JOB, given_activations(files / "x.npy", None, None, 0), root, 1)
    events = events_of(folder)
    assert events[-1] == ("finished", "measure train")
    runs = sorted(p for p in folder.iterdir() if p.is_dir())
    assert [p.name.rsplit("_", 1)[0] for p in runs] == [f"train_activations_topk_dsae24_k4_seed{s}" for s in (0, 1)]
    captured, _ = capture_alone(CaptureJob(source=ExternalSource(path=str(files / "x.npy"))), root, 1)
    again = train_alone(JOB, given_activations(captured, None, None, 0), root, 1)
    assert again == (folder, records)
    assert events_of(folder) == events

    stack = load_stack(root / "nodes" / f"stack-{records['stack'].id}" / "stack.safetensors")
    assert len(stack) == 2
    for seed, run in enumerate(runs):
        single = load_stack(run / "checkpoints" / "sae.safetensors")
        assert single.seeds == (seed,)
        assert torch.equal(single.parameters["W_dec"][0], stack.parameters["W_dec"][seed])
        metrics = json.loads((run / "metrics.json").read_text())["measurements"]
        measured = records["measure"].get("explained_variance", seed=str(seed))
        assert metrics[f"explained_variance[seed={seed}]"]["value"] == measured.value
        assert 0 < measured.value < 1
    rows = ActivationCache(captured / "rows")
    reconstruction = stack[0](torch.from_numpy(rows.to_array()))
    error = ((digits[:300] - reconstruction.numpy()) ** 2).sum() / ((digits[:300] - digits[:300].mean(0)) ** 2).sum()
    assert 0 < error < 1


def test_another_setting_on_the_same_day_takes_another_folder_and_leaves_the_first(files):
    root, given = files / "results", given_activations(files / "x.npy", None, None, 0)
    folder, _ = train_alone(JOB, given, root, 1)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "ledger.jsonl"}
    other, _ = train_alone(JOB.override(["training.lr=1e-2"]), given, root, 1)
    assert other == folder
    assert all(path.read_bytes() == data for path, data in before.items())
    names = sorted(p.name for p in folder.iterdir() if p.is_dir())
    assert len(names) == 4
    assert sum(name.endswith("-2") for name in names) == 2
    assert not any("damaged" in name for name in names)


def test_a_changed_file_is_another_input(files, digits):
    root = files / "results"
    one, _ = capture_alone(CaptureJob(source=ExternalSource(path=str(files / "x.npy"))), root, 1)
    (files / "x.npy").rename(files / "moved.npy")
    moved, _ = capture_alone(CaptureJob(source=ExternalSource(path=str(files / "moved.npy"))), root, 1)
    assert moved == one
    np.save(files / "x.npy", digits[300:600])
    other, _ = capture_alone(CaptureJob(source=ExternalSource(path=str(files / "x.npy"))), root, 1)
    assert other != one


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: np.full_like(x, 3.0), "constant|all equal|do not vary"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 7, np.nan, x), "row 7"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 9, np.inf, x), "row 9"),
        (lambda x: x[:1], "row"),
        (lambda x: x[:0], "nothing in it"),
        (lambda x: x.astype(np.int64), "int64"),
        (lambda x: x[None], "flatten"),
        (lambda x: x[:20], "fewer than the 24 latents"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_in_one_line(tmp_path, digits, make, words):
    np.save(tmp_path / "x.npy", make(digits[:300]))
    root = tmp_path / "results"
    with pytest.raises(UserError, match=words) as caught:
        train_alone(JOB, given_activations(tmp_path / "x.npy", None, None, 0), root, 1)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(root.glob("nodes/stack-*"))
    assert events_of(root / "experiments" / "train")[-1][0] in ("failed", "refused")


def test_an_empty_side_of_the_split_is_refused(files):
    job = JOB.override(["training.held_out=0.0001"])
    with pytest.raises(UserError, match="leaves one side empty"):
        train_alone(job, given_activations(files / "x.npy", None, None, 0), files / "results", 1)


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["sae.k=24"], "k = 24 is not sparse for d_in = 64, d_sae = 24"),
        (["sae.k=64", "sae.d_sae=100"], "k = 64 is not sparse for d_in = 64"),
        (["sae.aux_k=25"], "aux_k = 25 is more than d_sae = 24"),
    ],
)
def test_a_code_that_is_not_sparse_is_refused(files, assignments, words):
    with pytest.raises(UserError, match=words):
        train_alone(JOB.override(assignments), given_activations(files / "x.npy", None, None, 0), files / "r", 1)


def test_half_of_it_is_a_warning_that_stays_with_the_result(files):
    job = JOB.override(["sae.k=12"])
    _, records = train_alone(job, given_activations(files / "x.npy", None, None, 0), files / "r", 1)
    assert any("hardly sparse" in text for text in records["stack"].facts["warnings"])


def test_what_is_no_activations_is_refused(files):
    for place, words in (
        (files / "none", "does not exist"),
        (files, "is not a finished folder of activations"),
    ):
        with pytest.raises(UserError, match=words):
            given_activations(place, None, None, 0)


def test_a_hook_that_is_not_there_is_refused_before_the_model_is_trained(tmp_path):
    job = CaptureJob(source=CapturedSource(hook_name="blocks.0.hook_resid_pots"))
    with pytest.raises(UserError, match=r"unknown hook .*did you mean 'blocks\.0\.hook_resid_post'"):
        capture_alone(job, tmp_path / "results", 1)
    assert not (tmp_path / "results").exists()
