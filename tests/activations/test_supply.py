"""Looking ahead changes no bit, never runs far, ends with its block, and what was waited for is known."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from husai.activations.scaling import Scaling
from husai.activations.stream import Batches, Feed
from husai.activations.supply import Spent, Supply
from husai.errors import UserError

ROWS = np.random.default_rng(3).standard_normal((500, 6)).astype(np.float32)
THREADS = """
import sys, numpy as np, psutil, torch
from husai.activations.stream import Batches, Feed
from husai.activations.supply import Supply
torch.set_num_threads(3)
feed = Feed(np.zeros((5000, 512), np.float32), Batches(5000, 4000, 0, [0, 1]))
before = psutil.Process().num_threads()
with Supply(feed.batch, 0, 20) as batches:
    most = max((batches.take(), psutil.Process().num_threads())[1] for _ in range(20))
print(most - before, torch.get_num_threads())
x = torch.ones(1000, 1000) @ torch.ones(1000, 1000)
print(torch.get_num_threads())
"""


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("husai-supply")]


class Source:
    """Batches that say in which thread and when they were gathered."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.asked, self.threads = seconds, [], set()

    def __call__(self, step: int) -> torch.Tensor:
        self.asked.append(step)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        return torch.full((1,), float(step))


@pytest.mark.parametrize("ahead", [0, 1, 2, 7])
def test_the_same_bytes_however_far_it_looks(make_cache, ahead):
    cache = make_cache(ROWS)
    for options in ({"in_memory": True}, {"in_memory": False}):
        feed = Feed(cache, Batches(500, 130, 0, range(3)), Scaling.of(cache), **options)
        expected = [feed.batch(step).numpy().tobytes() for step in range(3, 20)]
        with Supply(feed.batch, 3, 20, ahead) as batches:
            assert [batches.take().numpy().tobytes() for _ in range(3, 20)] == expected


def test_rows_from_a_map_are_worth_looking_ahead_and_rows_in_memory_are_not(make_cache):
    cache, batches = make_cache(ROWS), Batches(500, 10, 0, [0])
    assert Feed(cache, batches, in_memory=False).look_ahead == 2
    assert Feed(cache, batches).look_ahead == Feed(ROWS, batches).look_ahead == 0


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_each_step_once_in_order_and_never_too_far(ahead):
    source, taken = Source(), 0
    with Supply(source, 4, 30, ahead) as batches:
        for step in range(4, 30):
            assert len(source.asked) <= taken + ahead
            assert batches.take().item() == step
            taken += 1
    assert source.asked == list(range(4, 30))


def test_the_thread_gathers_and_ends(tmp_path):
    source = Source()
    with Supply(source, 0, 50) as batches:
        batches.take()
        assert len(own_threads()) == 1
    assert own_threads() == []
    assert source.threads == {"husai-supply_0"}
    assert len(source.asked) <= 4
    with Supply(source, 3, 3) as batches:
        assert own_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_however_the_block_is_left_the_thread_ends(error):
    def train() -> None:
        with Supply(Source(0.01), 0, 10**6) as batches:
            batches.take()
            raise error

    with pytest.raises(error):
        train()
    assert own_threads() == []


def test_an_error_in_the_thread_reaches_whoever_asks_for_that_batch():
    def gather(step: int) -> torch.Tensor:
        if step == 3:
            raise UserError("shard-00003.safetensors was changed: make it again")
        return torch.zeros(1)

    for ahead in (0, 2):
        with Supply(gather, 0, 10, ahead) as batches:
            for _ in range(3):
                batches.take()
            with pytest.raises(UserError, match=r"^shard-00003\.safetensors was changed: make it again$"):
                batches.take()
        assert own_threads() == []


def test_time_spent_waiting_is_known_and_looking_ahead_takes_it_away():
    spent = {}
    for ahead in (0, 2):
        spent[ahead] = Spent()
        with Supply(Source(0.02), 0, 12, ahead, spent[ahead]) as batches:
            for _ in range(12):
                batches.take()
                time.sleep(0.04)
    assert 12 * 0.02 <= spent[0].waiting < spent[0].seconds
    assert spent[0].seconds >= 12 * 0.06
    assert spent[0].share == spent[0].waiting / spent[0].seconds
    assert 0.0 < spent[2].waiting < 0.5 * spent[0].waiting  # nobody can look ahead of the first
    both = Spent(10.0, 1.0)
    with Supply(Source(), 0, 1, 0, both) as batches:
        batches.take()
    assert both.seconds > 10.0 and both.waiting > 1.0
    assert Spent().share == 0.0


def test_it_is_one_thread_and_torch_keeps_its_own():
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    run = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, env=environment, timeout=100, check=False
    )
    assert run.stdout.split() == ["1", "3", "3"], run.stderr
