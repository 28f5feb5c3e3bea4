"""Blocks of steps: their length, their order, what they advance; rows, floor and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import floor, memory
from benchmarks.data import batch_count, make_batches
from benchmarks.husai_engine import make
from benchmarks.sizes import CPU_STACKED, CPU_TABLE, GPU_TABLE, Size, default_sizes, parse, parse_list
from benchmarks.timing import MOST_STEPS, Timed, block_steps, interleave
from benchmarks.tools import husai

SIZE = Size(16, 32, 4, 64, 3)


@given(st.floats(1e-9, 1e3), st.floats(1e-3, 10), st.integers(7, 100))
def test_a_block_is_long_enough_or_as_long_as_it_may_be(seconds: float, block: float, repeats: int) -> None:
    steps = block_steps(seconds, block, repeats)
    assert steps >= 1
    assert steps * repeats <= MOST_STEPS
    assert steps * seconds >= block * 0.999 or steps == MOST_STEPS // repeats
    assert steps == 1 or (steps - 1) * seconds < block


def test_tools_take_turns_and_the_first_changes() -> None:
    order: list[str] = []
    tools = [Timed(name, lambda index, name=name: order.append(name), saes=2) for name in "abc"]
    interleave(tools, repeats=7, block_seconds=0, warm_steps=2, device="cpu")
    assert "".join(order[:9]) == "aaabbbccc"  # two that are not counted, and one that sets the length of a block
    assert "".join(order[9:18]) == "abcbcacab"
    assert [len(tool.ms) for tool in tools] == [7, 7, 7]
    assert [tool.done for tool in tools] == [10, 10, 10]


def test_times_are_per_sae(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timed, "run", lambda self, steps, device: 0.5 * steps)
    tool = Timed("t", lambda index: None, saes=5)
    interleave([tool], repeats=7, block_seconds=1, warm_steps=1, device="cpu")
    assert tool.ms == [100.0] * 7


def test_batches_are_the_same_every_time_and_whole_for_every_seed() -> None:
    count = batch_count(SIZE)
    assert count % SIZE.seeds == 0 and count * SIZE.batch >= 65_536
    x_NBD = make_batches(SIZE, 6)
    assert x_NBD.shape == (6, 64, 16) and x_NBD.dtype == torch.float32 and x_NBD.is_contiguous()
    assert torch.equal(x_NBD, make_batches(SIZE, 6)) and not torch.equal(x_NBD[0], x_NBD[1])
    assert float(x_NBD.square().sum(-1).mean()) == pytest.approx(4 * 1.01, rel=0.1)


def test_husai_advances_every_seed_on_a_batch_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    x_NBD, seen = make_batches(SIZE, 7), []

    class Engine:
        engine, why = "e", "w"

        def step(self, x_SBD: torch.Tensor) -> None:
            seen.append(x_SBD.clone())

    monkeypatch.setattr("benchmarks.tools.make", lambda size, device, engine: Engine())
    tool, said = husai(SIZE, x_NBD, "cpu", "auto")
    tool.run(3, "cpu")
    assert (tool.saes, said) == (3, "engine e (w)")
    assert torch.equal(seen[0], x_NBD[:3]) and torch.equal(seen[1], x_NBD[3:6]) and torch.equal(seen[2], x_NBD[:3])


def test_a_step_of_husai_trains_with_auxk_on_and_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    from husai.training.engines import reference

    seen: list[tuple[int, int]] = []
    objective = reference.ReferenceEngine._gradients

    def spy(self, *work):
        terms, grads, codes = objective(self, *work)
        seen.append((self.config.aux_k, len(terms)))
        return terms, grads, codes

    monkeypatch.setattr(reference.ReferenceEngine, "_gradients", spy)
    made = make(SIZE, "cpu", "reference")
    for x_SBD in make_batches(SIZE, 9).unflatten(0, (3, 3)):
        made.step(x_SBD)
    assert seen == [(8, 1)] * 9  # AuxK of d_in / 2 asked for, its term never computed


def test_the_floor_is_the_encoder_product_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    x_BD = make_batches(SIZE, 1)[0]
    found = floor.encoder_products(SIZE, x_BD, "cpu")
    assert 1 <= len(found) <= floor.FINALISTS
    outs: list[torch.Tensor] = []
    monkeypatch.setattr(torch, "mm", lambda left, right, out: outs.append(left.float() @ right.float()))
    for step in floor._products(SIZE, x_BD).values():
        step(0)
    assert {tuple(out.shape) for out in outs} == {(64, 32), (32, 64)} and len(outs) == 8
    for half in (outs[:4], outs[4:]):  # bfloat16, float32: the same numbers in every layout
        for out in half[1:]:
            assert torch.allclose(out if out.shape == (64, 32) else out.T, half[0], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no high-water mark that can be set back")
def test_the_peak_is_that_of_the_work_and_of_nothing_before_it() -> None:
    np.ones(200_000_000, np.uint8).sum()
    peak = memory._beyond("cpu", lambda: np.ones(64_000_000, np.uint8).sum())
    assert 60 < peak < 90


def test_a_process_that_fails_to_measure_gives_null_and_says_why() -> None:
    peak, reason = memory.peak_mb("husai", "no such engine", SIZE, "cpu", 1)
    assert peak is None
    assert reason.startswith("husai at 16x32x4x64x3: the process that measures memory ended with 1")


def test_sizes_are_read_as_they_are_written() -> None:
    assert [str(size) for size in CPU_TABLE] == [
        "128x1024x32x4096x5",
        "512x4096x32x4096x4",
        "1024x8192x32x4096x1",
        "2048x16384x32x4096x1",
    ]
    assert all(parse(str(size)) == size for size in (*CPU_TABLE, *GPU_TABLE, *CPU_STACKED))
    assert parse_list(" 16x32x4x64x3 ,") == (SIZE,)
    assert default_sizes("cuda", stacked=False) == GPU_TABLE
    assert CPU_STACKED[0] == Size(128, 256, 32, 512, 8) and all(size.seeds == 8 for size in CPU_STACKED)
