"""Pretraining: generalises, repeats bit for bit, and goes on from any step as if it had never stopped."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from husai import events
from husai.errors import Interrupted, UserError
from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.pretrain import Batches, HistoryRow, evaluate, pretrain, stop_reason
from husai.models.weights import model_arrays, save_model
from husai.store.tensors import array_hash

MODEL = TransformerConfig(d_model=8, n_heads=2, d_mlp=8)
SHORT = PretrainConfig(batch=8, max_steps=90, eval_every=25, target_accuracy=1.0)


class At:
    """Listener that does something at the first report from step `step` on, and keeps all reports."""

    def __init__(self, step, action):
        self.step, self.action, self.events = step, action, []

    def progress(self, event):
        self.events.append(event)
        if event.done >= self.step:
            self.action()

    def log(self, level, message):
        """Nothing to do."""


def crash():
    raise RuntimeError("killed")


@pytest.fixture(autouse=True)
def no_stop():
    events.clear_stop()
    yield
    events.clear_stop()


def bits(result):
    return array_hash(model_arrays(result.model))


def test_a_small_model_generalises(trained, task):
    assert trained.held_out_accuracy >= 0.99
    assert trained.stopped == "target"
    assert trained.steps == trained.history[-1].step < 1500
    labels = torch.tensor(task.labels_N[task.test_index])
    with torch.no_grad():
        guess = trained.model(torch.tensor(task.tokens_NT[task.test_index]))[:, -1].argmax(-1)
    assert (guess == labels).double().mean().item() == pytest.approx(trained.held_out_accuracy)


def test_history_ends_with_the_state_of_the_returned_model(trained, task):
    assert evaluate(trained.model, task, trained.steps) == trained.history[-1]


def test_same_seed_same_bits_other_seed_other_bits(tiny):
    one, again, other = (pretrain(SHORT, MODEL, tiny, seed) for seed in (1, 1, 2))
    assert bits(one) == bits(again) != bits(other)
    assert one.history == again.history
    assert [row.step for row in one.history] == [25, 50, 75, 90]


def test_the_global_generator_plays_no_part(tiny):
    torch.manual_seed(0)
    one = pretrain(SHORT, MODEL, tiny, 1)
    torch.manual_seed(1)
    np.random.seed(5)
    assert bits(pretrain(SHORT, MODEL, tiny, 1)) == bits(one)


@pytest.mark.parametrize("step", [20, 40, 60, 80])
def test_stop_and_go_on_is_bit_for_bit(tiny, tmp_path, step):
    whole = pretrain(SHORT, MODEL, tiny, 1)
    path = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted), events.listening(At(step, events.request_stop)):
        pretrain(SHORT, MODEL, tiny, 1, checkpoint=path, checkpoint_seconds=1e9)
    events.clear_stop()
    watch = At(10**9, crash)
    with events.listening(watch):
        resumed = pretrain(SHORT, MODEL, tiny, 1, checkpoint=path)
    assert watch.events[0].done > step  # it went on, it did not start again
    assert bits(resumed) == bits(whole) and resumed.history == whole.history


def test_a_killed_run_goes_on_from_its_last_save(tiny, tmp_path):
    whole = pretrain(SHORT, MODEL, tiny, 1)
    path = tmp_path / "state.safetensors"
    for step in (20, 60):
        with suppress(RuntimeError), events.listening(At(step, crash)):
            pretrain(SHORT, MODEL, tiny, 1, checkpoint=path, checkpoint_seconds=0)
    resumed = pretrain(SHORT, MODEL, tiny, 1, checkpoint=path)
    assert bits(resumed) == bits(whole) and resumed.history == whole.history


def test_a_finished_run_is_returned_as_it_is(tiny, tmp_path):
    path = tmp_path / "state.safetensors"
    whole = pretrain(SHORT, MODEL, tiny, 1, checkpoint=path)
    watch = At(10**9, crash)
    with events.listening(watch):
        again = pretrain(SHORT, MODEL, tiny, 1, checkpoint=path)
    assert [e.done for e in watch.events] == [90]
    assert bits(again) == bits(whole) and again.history == whole.history


def test_checkpointing_changes_no_bit(tiny, tmp_path):
    saved = pretrain(SHORT, MODEL, tiny, 1, checkpoint=tmp_path / "s.safetensors", checkpoint_seconds=0)
    assert bits(saved) == bits(pretrain(SHORT, MODEL, tiny, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"config": SHORT.model_copy(update={"lr": 0.5})},
        {"model_config": MODEL.model_copy(update={"d_mlp": 9})},
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tiny, tmp_path, change):
    path = tmp_path / "state.safetensors"
    run = {"config": SHORT, "model_config": MODEL, "task": tiny, "seed": 1}
    pretrain(**run, checkpoint=path)
    with pytest.raises(UserError, match="belongs to a run with other settings"):
        pretrain(**(run | change), checkpoint=path)


def test_a_file_that_is_no_checkpoint_is_refused(tiny, tmp_path):
    path = save_model(tmp_path / "model.safetensors", MODEL.fitted(tiny).build(0))
    with pytest.raises(UserError, match="is not a training checkpoint"):
        pretrain(SHORT, MODEL, tiny, 1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        pretrain(SHORT, MODEL, tiny, 1, checkpoint=path)


def test_checkpoints_hold_no_pickle(tiny, tmp_path):
    pretrain(SHORT, MODEL, tiny, 1, checkpoint=tmp_path / "state.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


def test_divergence_is_one_clear_line(tiny):
    wild = SHORT.model_copy(update={"lr": 1e30})
    with pytest.raises(UserError, match=r"diverged by step 25: lower lr"):
        pretrain(wild, MODEL, tiny, 1)


def test_progress_is_reported(tiny):
    watch = At(10**9, crash)
    with events.listening(watch):
        pretrain(SHORT, MODEL, tiny, 1, job="model-3")
    assert {e.job for e in watch.events} == {"model-3"}
    assert [e.done for e in watch.events] == [20, 40, 60, 80, 90]
    assert watch.events[-1].done == watch.events[-1].total
    assert "held-out accuracy" in watch.events[-1].note


@given(
    st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**40), st.lists(st.integers(0, 500), min_size=1, max_size=9)
)
def test_batches_are_a_function_of_seed_and_step(n, size, seed, steps):
    rows = np.arange(100, 100 + n)
    once = Batches(rows, size, seed)
    for step in steps:  # any order of asking
        batch = once.at(step)
        assert np.array_equal(batch, Batches(rows, size, seed).at(step))
        assert len(set(batch.tolist())) == min(n, size) and set(batch) <= set(rows)


def test_an_epoch_meets_every_row_once():
    batches = Batches(np.arange(24), 8, seed=3)
    epochs = [np.concatenate([batches.at(3 * e + i) for i in range(3)]) for e in range(2)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert not np.array_equal(*epochs)


def row(step, accuracy):
    return HistoryRow(step, 1.0, 1.0, 1.0, accuracy)


@pytest.mark.parametrize(
    ("accuracies", "reason"),
    [
        ([], None),
        ([0.5, 0.5, 0.99], None),
        ([0.5, 0.99, 1.0], None),  # held, but no extra steps yet
        ([0.99, 1.0, 1.0], None),
        ([0.99, 1.0, 1.0, 1.0], "target"),
        ([0.99, 1.0, 1.0, 0.5], None),  # it must hold at the end, too
        ([0.99, 1.0, 0.5, 0.99], None),
        ([0.99, 1.0, 0.5, 0.99, 0.99], "target"),
        ([0.99, 0.5, 0.99, 0.5, 0.99, 0.5], None),
        ([0.5] * 9, None),
        ([0.5] * 10, "max_steps"),
        ([0.99] * 2 + [0.5] * 8, "max_steps"),
    ],
)
def test_when_training_ends(accuracies, reason):
    config = PretrainConfig(eval_every=100, hold=2, extra_steps=200, max_steps=1000)
    history = [row(100 * (i + 1), a) for i, a in enumerate(accuracies)]
    assert stop_reason(config, history) == reason


@pytest.mark.slow
def test_modular_113_generalises_with_half_of_the_unordered_pairs(tmp_path):
    from husai.models import sanity
    from husai.tasks.modular import ModularConfig

    task = ModularConfig().build()
    result = pretrain(PretrainConfig(), TransformerConfig(), task, seed=0)
    assert result.stopped == "target" and result.steps <= 2500
    assert sanity.check(result.model, task, seed=0).readable
