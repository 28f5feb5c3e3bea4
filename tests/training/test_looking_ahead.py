"""Training from a map with the next batches gathered in a thread: the same bits, whatever happens in between."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from husai import events
from husai.activations.cache import ActivationCache
from husai.activations.manifest import Origin
from husai.activations.stream import Batches, Feed
from husai.activations.writer import write_rows
from husai.errors import Interrupted, UserError
from husai.saes.config import TopKConfig
from husai.training import trainer
from husai.training.config import TrainingConfig
from husai.training.state import TrainState
from husai.training.trainer import Job, train

ROWS = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
SEEDS = (0, 1)


@pytest.fixture
def cache(tmp_path: Path) -> ActivationCache:
    return write_rows(tmp_path / "rows", ROWS, Origin(kind="external", synthetic=False, description="rows"))


def job(rows: ActivationCache | np.ndarray, steps: int = 60, **changes: object) -> Job:
    feed = Feed(rows, Batches(len(ROWS), 40, 7, SEEDS), in_memory=False)
    training = TrainingConfig(steps=steps, batch=40, lr=5e-3)
    made = Job(TopKConfig(d_sae=23, k=3), training, 10, SEEDS, 7, feed.batch, "id", "test", ahead=feed.look_ahead)
    return replace(made, **changes)


def same(a: TrainState, b: TrainState) -> bool:
    groups = ((a.parameters, b.parameters), (a.m, b.m), (a.v, b.v))
    return a.step == b.step and all(torch.equal(x[name], y[name]) for x, y in groups for name in x)


def test_the_same_bits_with_and_without(cache: ActivationCache, tmp_path: Path) -> None:
    from_map, from_memory = job(cache), job(ROWS)
    assert (from_map.ahead, from_memory.ahead) == (2, 0)
    with_thread = train(from_map, tmp_path / "a")
    assert same(with_thread.final, train(replace(from_map, ahead=0), tmp_path / "b").final)
    assert same(with_thread.final, train(from_memory, tmp_path / "c").final)


@pytest.mark.parametrize("stop_at", [1, 47, 48, 55])
def test_stopped_while_it_looks_ahead_it_goes_on_with_the_same_bits(
    cache: ActivationCache, tmp_path: Path, stop_at: int
) -> None:
    whole, cut = train(job(cache), tmp_path / "whole"), job(cache)

    def batch_at(step: int) -> torch.Tensor:
        if step == stop_at:
            events.request_stop()  # from the thread: the loop is up to two steps behind
        return cut.batch_at(step)

    with pytest.raises(Interrupted):
        train(replace(cut, batch_at=batch_at), tmp_path / "cut")
    assert not [t for t in threading.enumerate() if t.name.startswith("husai-supply")]
    events.clear_stop()
    assert same(train(cut, tmp_path / "cut").final, whole.final)


def test_what_goes_wrong_in_the_thread_is_said_by_the_training(cache: ActivationCache, tmp_path: Path) -> None:
    cut = job(cache)

    def batch_at(step: int) -> torch.Tensor:
        if step == 20:
            raise UserError("the disk is gone: put it back")
        return cut.batch_at(step)

    with pytest.raises(UserError, match=r"^the disk is gone: put it back$"):
        train(replace(cut, batch_at=batch_at), tmp_path / "a")
    assert not [t for t in threading.enumerate() if t.name.startswith("husai-supply")]


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, event: events.Progress) -> None: ...

    def log(self, level: str, message: str) -> None:
        self.lines.append(f"{level}: {message}")


def test_waiting_is_measured_and_said_where_it_is_long(
    cache: ActivationCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "WAITING_SECONDS", 0.05)
    quick = job(cache, steps=6)

    def slow(step: int) -> torch.Tensor:
        threading.Event().wait(0.03)
        return quick.batch_at(step)

    heard = Heard()
    with events.listening(heard):
        spent = train(replace(quick, batch_at=slow), tmp_path / "slow").spent
        assert train(quick, tmp_path / "quick").spent.share < spent.share
    assert 0.05 < spent.waiting < spent.seconds
    said = [line for line in heard.lines if "waiting" in line]
    assert said[0].startswith(f"warning: test: {spent.share:.0%} of 0 s went by waiting for rows from the disk; put")
    assert train(quick, tmp_path / "slow").spent.waiting < 0.05, "nothing was left to do"
