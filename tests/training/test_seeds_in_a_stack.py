"""Bit for bit: a seed in a stack and alone, interrupted and not, a budget from scratch and from a smaller trunk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from husai import events
from husai.activations.stream import Batches, Feed
from husai.errors import Interrupted, UserError
from husai.saes.config import (
    AlignedConfig,
    AnySAEConfig,
    BatchTopKConfig,
    ReluL1Config,
    SkipTranscoderConfig,
    TopKConfig,
)
from husai.seeds import Role
from husai.training.config import TrainingConfig
from husai.training.schedules import is_snapshot, learning_rate, trunk_end
from husai.training.state import TrainState, load_state
from husai.training.trainer import TRUNK, Job, Trained, train
from our_saes import of_every_kind

X = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
CONFIGS: list[AnySAEConfig] = [
    *of_every_kind(24, 3, "jsae", aux_k=5, dead_after=200, bandwidth=0.1, l1=0.1, window=100, threshold_momentum=0.9),
    *(kind(d_sae=23, k=3) for kind in (TopKConfig, BatchTopKConfig, AlignedConfig)),
    SkipTranscoderConfig(d_sae=23, k=3, d_out=4),
]


def rows_of(seed: int) -> torch.Tensor:
    return torch.from_numpy(X[30 * seed : 30 * seed + 30])


def job(config: AnySAEConfig, seeds: tuple[int, ...], steps: int, **training: object) -> Job:
    settings = TrainingConfig.parse({"steps": steps, "batch": 40, "lr": 5e-3, **training})
    shared = Role.BATCH_ORDER not in settings.vary
    feed = Feed(X, Batches(len(X), 40, 7, seeds, shared_order=shared))
    return Job(config, settings, X.shape[1], seeds, 7, feed.batch, "same-trajectory", "test", rows_of=rows_of)


def same(a: TrainState, b: TrainState, i: int | None = None, j: int | None = None) -> bool:
    pick = (lambda t, n: t) if i is None else (lambda t, n: t[n])
    groups = ((a.parameters, b.parameters), (a.m, b.m), (a.v, b.v))
    equal = all(torch.equal(pick(x[name], i), pick(y[name], j)) for x, y in groups for name in x)
    return equal and torch.equal(pick(a.last_fired_SF, i), pick(b.last_fired_SF, j))


@pytest.mark.parametrize("config", CONFIGS)
def test_a_seed_of_a_stack_equals_that_seed_alone(config: AnySAEConfig, tmp_path: Path) -> None:
    together = train(job(config, (0, 1, 2, 5), 60), tmp_path / "all")
    for position, seed in enumerate((0, 1, 2, 5)):
        alone = train(job(config, (seed,), 60), tmp_path / str(seed))
        assert same(together.final, alone.final, position, 0)


@settings(max_examples=8, deadline=None)
@given(d_sae=st.integers(5, 40), k=st.integers(1, 4), steps=st.integers(1, 12))
def test_stack_equals_solo_for_odd_sizes(
    d_sae: int, k: int, steps: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = TopKConfig(d_sae=d_sae, k=k)
    folder = tmp_path_factory.mktemp("odd")
    together = train(job(config, (3, 1), steps), folder / "a")
    alone = train(job(config, (1,), steps), folder / "b")
    assert same(together.final, alone.final, 1, 0)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("stop_at", [1, 17, 39, 40, 41, 55])
def test_an_interrupted_training_ends_with_the_same_bits(config: AnySAEConfig, stop_at: int, tmp_path: Path) -> None:
    whole = train(job(config, (0, 1), 50), tmp_path / "whole")
    cut = job(config, (0, 1), 50)
    calls = iter(range(10**6))

    def batch_at(step: int) -> torch.Tensor:
        if next(calls) == stop_at:
            events.request_stop()
        return cut.batch_at(step)

    interrupted = Job(**{**vars(cut), "batch_at": batch_at})
    try:
        with pytest.raises(Interrupted, match="same command"):
            train(interrupted, tmp_path / "cut")
    except pytest.fail.Exception:
        assert stop_at >= 50  # the run was over before the stop
    events.clear_stop()
    again = train(cut, tmp_path / "cut")
    assert same(whole.final, again.final)
    assert whole.final.snapshots.keys() == again.final.snapshots.keys()
    assert all(np.array_equal(W, again.final.snapshots[step]) for step, W in whole.final.snapshots.items())
    assert whole.final.history.keys() == again.final.history.keys()
    assert whole.final.history["mse"].keys() == again.final.history["mse"].keys()


def test_a_larger_budget_from_a_trunk_equals_one_from_scratch(tmp_path: Path) -> None:
    config = CONFIGS[0]
    half = train(job(config, (0, 1), 50), tmp_path / "half")
    trunk = load_state(tmp_path / "half" / TRUNK, "same-trajectory")
    assert trunk.step == trunk_end(TrainingConfig(), 50) == 40
    from_trunk = train(job(config, (0, 1), 100), tmp_path / "on", trunk)
    from_scratch = train(job(config, (0, 1), 100), tmp_path / "scratch")
    assert same(from_trunk.final, from_scratch.final)
    assert not same(from_trunk.final, half.final)


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    train(job(CONFIGS[0], (0,), 10), tmp_path)
    other = Job(**{**vars(job(CONFIGS[0], (0,), 10)), "identity": "other"})
    with pytest.raises(UserError, match="another training"):
        train(other, tmp_path)


def test_a_diverging_run_says_what_to_do(tmp_path: Path) -> None:
    bad = job(ReluL1Config(d_sae=23, l1=0.1), (0,), 200, lr=1e38)
    with pytest.raises(UserError, match=r"not finite.*training.lr="):
        train(bad, tmp_path)


def streams(vary: tuple[Role, ...], tmp_path: Path) -> Trained:
    return train(job(CONFIGS[0], (0, 1), 20, vary=vary), tmp_path)


def test_only_the_declared_streams_vary(tmp_path: Path) -> None:
    init_only = streams((Role.SAE_INIT,), tmp_path / "init").final
    order_only = streams((Role.BATCH_ORDER,), tmp_path / "order").final
    assert not np.array_equal(init_only.snapshots[0][0], init_only.snapshots[0][1])
    assert np.array_equal(order_only.snapshots[0][0], order_only.snapshots[0][1])
    assert not torch.equal(order_only.parameters["W_dec"][0], order_only.parameters["W_dec"][1])


def test_the_rate_is_constant_then_falls_to_zero_and_budgets_share_the_trunk() -> None:
    config = TrainingConfig(lr=0.1, decay=0.2)
    rates = [learning_rate(config, 100, step) for step in range(101)]
    assert rates[:81] == [0.1] * 81 and rates[100] == 0.0
    assert all(a > b for a, b in pairwise(rates[80:]))
    assert all(learning_rate(config, 200, step) == 0.1 for step in range(trunk_end(config, 200)))
    assert learning_rate(TrainingConfig(lr=0.1, decay=0.0), 10, 9) == 0.1


def test_snapshots_are_at_zero_and_powers_of_four() -> None:
    assert [s for s in range(5000) if is_snapshot(s)] == [0, 16, 64, 256, 1024, 4096]
