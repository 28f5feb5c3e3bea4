"""The state of the engine `cuda`: on the device between steps, in the caller's tensors when asked, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from husai import events
from husai.errors import Interrupted
from husai.saes.config import TopKConfig
from husai.training import trainer
from husai.training.config import TrainingConfig
from husai.training.engines.engine import ABSENT, numbers
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, load_state, save_state, start
from husai.training.trainer import Job, copy_state, train

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
D, BATCH = 5, 6
CONFIG, TRAINING = TopKConfig(d_sae=10, k=2), TrainingConfig(batch=BATCH, lr=1e-2, steps=20)


def engine(**more: Any) -> Any:
    from husai.training.engines.cuda import CudaEngine

    return CudaEngine(CONFIG, TRAINING, device=DEVICE, **{"precision": "full", "path": "sparse", **more})


def state() -> TrainState:
    return start(CONFIG, TRAINING, D, (0, 1), root=3)


def batch_at(step: int) -> torch.Tensor:
    return torch.randn(2, BATCH, D, generator=torch.Generator().manual_seed(step))


def same(a: TrainState, b: TrainState) -> bool:
    groups = ((a.parameters, b.parameters), (a.m, b.m), (a.v, b.v))
    equal = all(torch.equal(x[name], y[name]) for x, y in groups for name in x)
    return equal and torch.equal(a.last_fired_SF, b.last_fired_SF)


def test_the_state_is_as_it_was_until_it_is_asked_for() -> None:
    made, before, one = state(), state(), engine()
    one.step(made, batch_at(0), 1e-2)
    assert made.step == 1 and same(made, before)
    one.sync(made)
    assert not same(made, before)
    after = copy_state(made)
    one.sync(made)
    assert same(made, after)


def test_a_state_that_another_one_replaces_is_brought_up_to_date() -> None:
    one, first, second, kept = engine(), state(), state(), state()
    one.step(first, batch_at(0), 1e-2)
    one.step(second, batch_at(0), 1e-2)
    assert not same(first, kept)
    one.sync(second)
    assert same(first, second)


def test_a_state_that_was_saved_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    through, one = state(), engine()
    for step in range(2):
        one.step(through, batch_at(step), 1e-2)
    one.sync(through)
    loaded = load_state(save_state(tmp_path / "s.safetensors", through, "me"), "me")
    copied, other = copy_state(through), engine(path=None)
    assert loaded.choices == copied.choices == {"decode": "sparse", "gradients": "sparse"}
    one.step(through, batch_at(2), 1e-2), one.sync(through)
    for again, by in ((copied, one), (loaded, other)):
        by.step(again, batch_at(2), 1e-2), by.sync(again)
        assert same(again, through)
    assert not other.measured


def test_a_step_that_was_set_back_by_the_caller_starts_from_the_callers_tensors() -> None:
    one, made = engine(), state()
    one.step(made, batch_at(0), 1e-2)
    one.sync(made)
    after = copy_state(made)
    for group, fresh in zip((made.parameters, made.m, made.v), (state().parameters, state().m, state().v), strict=True):
        for name in group:
            group[name].copy_(fresh[name])
    made.last_fired_SF.zero_()
    made.step = 0
    one.step(made, batch_at(0), 1e-2)
    one.sync(made)
    assert same(made, after)


def test_measuring_changes_nothing_and_its_outcome_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from husai.training.engines import cuda_paths

    monkeypatch.setattr(cuda_paths, "WARM_RUNS", 1)
    monkeypatch.setattr(cuda_paths, "TIMED_RUNS", 1)
    for winner in ("dense", "sparse"):
        monkeypatch.setattr(cuda_paths, "PREFERENCE", 1e9 if winner == "dense" else 0.0)
        free, told, seen, one = state(), state(), engine(path=winner), engine(path=None)
        one.prepare(free, BATCH)
        assert free.choices == {"decode": winner, "gradients": winner}
        assert one.how.endswith(f"decode {winner} (measured), gradients {winner} (measured)")
        assert set(one.measured["decode"]) == {"sparse", "dense"} and min(one.measured["decode"].values()) > 0
        one.step(free, batch_at(0), 1e-2), seen.step(told, batch_at(0), 1e-2)
        one.sync(free), seen.sync(told)
        assert same(free, told)


def test_no_dense_matrix_is_formed_where_it_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    from husai.training.engines import cuda_paths

    monkeypatch.setattr(cuda_paths, "MOST_DENSE_BYTES", 4 * BATCH * 10 - 1)
    one, made = engine(path=None), state()
    one.prepare(made, BATCH)
    assert made.choices == {"decode": "sparse", "gradients": "sparse"} and not one.measured
    assert one._kept.work._dense_BF is None


def test_whoever_may_be_dead_is_asked_for_in_time() -> None:
    from husai.training.engines.cuda_replay import DeadWatch

    last = [torch.tensor([0, 50, 90], device=DEVICE), torch.tensor([20, 30, 90], device=DEVICE)]
    watch = DeadWatch(last, dead_after=100)
    assert [watch.may_be_dead(step, 10 * step) for step in (0, 9, 10)] == [False, False, True]
    last[0][0] = 100
    for step in range(11, 60):
        asked = watch.may_be_dead(step, 10 * step)
        assert asked or 10 * step < 120, "the smallest is 20 by now: from 120 rows on it must be asked"
        torch.cuda.synchronize() if DEVICE == "cuda" else None
    for tensor in last:
        tensor.fill_(590)
    asked = [watch.may_be_dead(step, 10 * step) for step in range(60, 69 + 2 * DeadWatch.LOOK_EVERY)]
    assert asked[-1] is False or DEVICE == "cpu"
    assert watch.may_be_dead(200, 2000)


def test_terms_that_do_not_apply_are_left_out() -> None:
    terms = [
        {"mse": torch.tensor(2.0), "aux": torch.tensor(ABSENT)},
        {"mse": torch.tensor(1.0), "aux": torch.tensor(0.5)},
    ]
    assert numbers(terms) == [{"mse": 2.0}, {"mse": 1.0, "aux": 0.5}]


def test_a_training_saves_snapshots_and_ends_as_with_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer asks for the state wherever it reads it: at snapshots, where the branch leaves, at the end."""
    training = TrainingConfig(batch=BATCH, lr=1e-2, steps=19, decay=2 / 19)
    job = Job(CONFIG, training, D, (0,), 3, lambda step: batch_at(step)[:1], "same", "test", save_every=1e9)
    made = {}
    for name, chosen in (("cuda", engine()), ("reference", ReferenceEngine(CONFIG, training))):
        monkeypatch.setattr(trainer, "choose", lambda *_, chosen=chosen: (chosen, "asked for"))
        made[name] = train(job, tmp_path / name)
    ours, theirs = made["cuda"], made["reference"]
    assert ours.why_engine == "asked for; everything in float32; tiles of 6 rows; decode sparse, gradients sparse"
    for mine, wanted in ((ours.final, theirs.final), (ours.trunk, theirs.trunk)):
        assert mine.step == wanted.step and torch.equal(mine.last_fired_SF, wanted.last_fired_SF)
        for name in wanted.parameters:
            torch.testing.assert_close(mine.parameters[name], wanted.parameters[name], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(mine.snapshots[16], wanted.snapshots[16], rtol=1e-3, atol=1e-4)
    assert not np.array_equal(ours.final.snapshots[16], ours.final.parameters["W_dec"].numpy())
    np.testing.assert_allclose(ours.final.history["mse"][19], theirs.final.history["mse"][19], rtol=1e-4)
    saved = load_state(tmp_path / "cuda" / trainer.TRUNK, "same")
    assert same(saved, ours.trunk) and saved.choices == {"decode": "sparse", "gradients": "sparse"}


def test_a_training_that_was_interrupted_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is saved when a stop is asked for is the state of that step, not what the device last handed over."""
    monkeypatch.setattr(trainer, "choose", lambda *_: (engine(), "asked for"))
    training = TrainingConfig(batch=BATCH, lr=1e-2, steps=6, decay=1 / 6)
    whole = train(
        Job(CONFIG, training, D, (0,), 3, lambda step: batch_at(step)[:1], "same", "test"), tmp_path / "whole"
    )

    def stopping(step: int) -> torch.Tensor:
        if step == 3:
            events.request_stop()
        return batch_at(step)[:1]

    with pytest.raises(Interrupted):
        train(Job(CONFIG, training, D, (0,), 3, stopping, "same", "test"), tmp_path / "cut")
    events.clear_stop()
    assert load_state(tmp_path / "cut" / trainer.TRUNK, "same").step == 4
    again = train(Job(CONFIG, training, D, (0,), 3, lambda step: batch_at(step)[:1], "same", "test"), tmp_path / "cut")
    assert same(again.final, whole.final) and same(again.trunk, whole.trunk)


def test_every_kernel_compiles_for_hopper_and_fits_its_registers() -> None:
    """No GPU is needed to compile: what the interpreter lets pass and the compiler does not would show here."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("compile_kernels.py")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    lines = run.stdout.splitlines()
    assert len(lines) >= 12 and all(int(line.split()[-1]) <= 128 for line in lines), run.stdout
