"""A head in training: at weight 0 the SAE beside it has the bits of one without; stacked as alone, stopped as not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from husai import events
from husai.activations.stream import Batches, Feed
from husai.errors import Interrupted, UserError
from husai.saes.config import (
    AnySAEConfig,
    SkipTranscoderConfig,
    SupervisedConfig,
    TopKConfig,
)
from husai.saes.supervised import HEAD, logits
from husai.training.config import TrainingConfig
from husai.training.engines.choose import choose
from husai.training.trainer import Job, Trained, train
from our_saes import of_every_kind

C = 3
X = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
LABELS = np.abs(X[:, :C]).argmax(axis=1)  # of the rows' own making, so that they can be learned
CONFIGS: list[AnySAEConfig] = [
    TopKConfig(d_sae=23, k=3, aux_k=5, dead_after=200, decorrelation=0.1),
    *of_every_kind(24, 3, "random", "pca", "jsae", aux_k=5, dead_after=200, l1=0.1, bandwidth=0.1, window=100),
    SkipTranscoderConfig(d_sae=23, k=3, d_out=4),
    TopKConfig(d_sae=23, k=3, freeze="encoder"),
    TopKConfig(d_sae=23, k=3, freeze="decoder"),
]
NAMES = [f"{c.kind}{'' if c.freeze == 'none' else '-frozen-' + c.freeze}" for c in CONFIGS]


def headed(config: AnySAEConfig, weight: float) -> AnySAEConfig:
    return type(config).parse(config.plain() | {"supervised": {"weight": weight, "classes": C}})


def job(config: AnySAEConfig, seeds: tuple[int, ...], steps: int = 60) -> Job:
    settings = TrainingConfig(steps=steps, batch=40, lr=5e-3, engine="reference")
    feed, labels = (Batches(len(X), 40, 7, seeds) for _ in range(2))
    return Job(
        config, settings, X.shape[1], seeds, 7, Feed(X, feed).batch, "same-trajectory", "test",
        rows_of=lambda seed: torch.from_numpy(X[30 * seed : 30 * seed + 30]),
        labels_at=lambda step: torch.from_numpy(LABELS[labels.indices(step)]),
    )  # fmt: skip


def equal(a: Trained, b: Trained, names: object, i: int = 0, j: int = 0) -> bool:
    """Bits, the sign of zeros too, of parameters and moments."""
    groups = ((a.final.parameters, b.final.parameters), (a.final.m, b.final.m), (a.final.v, b.final.v))
    return all(x[n][i].numpy().tobytes() == y[n][j].numpy().tobytes() for x, y in groups for n in names)  # type: ignore[attr-defined]


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_at_weight_0_the_sae_has_the_bits_of_one_without_a_head_and_the_head_learns(
    config: AnySAEConfig, tmp_path: Path
) -> None:
    bare = train(job(config, (0, 1)), tmp_path / "bare")
    beside = train(job(headed(config, 0), (0, 1)), tmp_path / "beside")
    assert beside.final.parameters.keys() - bare.final.parameters.keys() == set(HEAD)
    assert all(equal(bare, beside, bare.final.parameters, i, i) for i in (0, 1))
    assert torch.equal(bare.final.last_fired_SF, beside.final.last_fired_SF)
    assert beside.final.history.keys() - bare.final.history.keys() == {"head"}
    learned = beside.final.history["head"]
    assert learned[min(learned)] == pytest.approx(np.log(C)), "a head starts at zero: every class alike"
    if config.kind != "linear":  # no line through linear codes tells which coordinate is the largest
        assert (learned[max(learned)] < np.log(C) - 0.01).all()
    assert all((beside.final.parameters[name] != 0).any() for name in HEAD)


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.freeze != "encoder"], ids=lambda c: c.kind)
def test_a_seed_of_a_stack_equals_that_seed_alone(config: AnySAEConfig, tmp_path: Path) -> None:
    config = headed(config, 0.5)
    together = train(job(config, (0, 2, 5), 30), tmp_path / "all")
    for position, seed in enumerate((0, 2, 5)):
        alone = train(job(config, (seed,), 30), tmp_path / str(seed))
        assert equal(together, alone, alone.final.parameters, position, 0)


@pytest.mark.parametrize("stop_at", [1, 17, 41])
def test_an_interrupted_training_ends_with_the_same_bits(stop_at: int, tmp_path: Path) -> None:
    config = headed(CONFIGS[0], 0.5)
    whole = train(job(config, (0, 1), 50), tmp_path / "whole")
    cut = job(config, (0, 1), 50)
    given = cut.batch_at

    def batch_at(step: int) -> torch.Tensor:
        if step == stop_at and not events.stop_requested():
            events.request_stop()
        return given(step)

    object.__setattr__(cut, "batch_at", batch_at)
    with pytest.raises(Interrupted):
        train(cut, tmp_path / "cut")
    events.clear_stop()
    again = train(job(config, (0, 1), 50), tmp_path / "cut")
    assert equal(whole, again, whole.final.parameters, 0, 0) and equal(whole, again, whole.final.parameters, 1, 1)
    for term, rows in whole.final.history.items():
        assert all(np.array_equal(values, again.final.history[term][step]) for step, values in rows.items())


def test_a_weight_makes_a_label_readable_that_costs_no_variance_to_lose(tmp_path: Path) -> None:
    """Its two directions hold 2 % of the variance: few latents leave them out, unless labels ask for them."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1200, 10)).astype(np.float32)
    x[:, 8:] *= 0.3
    y = (2 * (x[:, 8] > 0) + (x[:, 9] > 0)).astype(np.int64)
    feed, labels = (Batches(800, 100, 7, (0, 1)) for _ in range(2))  # the last 400 rows are held out
    right, explained = {}, {}
    for weight in (0.0, 0.5):
        config = TopKConfig(d_sae=8, k=3, supervised=SupervisedConfig(weight=weight, classes=4))
        given = Job(
            config, TrainingConfig(steps=600, batch=100, lr=5e-3), 10, (0, 1), 7, Feed(x[:800], feed).batch,
            f"weight {weight}", "test", labels_at=lambda step: torch.from_numpy(y[labels.indices(step)]),
        )  # fmt: skip
        stack = train(given, tmp_path / str(weight)).stack(given, torch.zeros(10), 1.0)
        rest = torch.from_numpy(x[800:])
        answers = [logits(sae.parameters, sae.encode(rest)).argmax(-1).numpy() for sae in (stack[0], stack[1])]
        right[weight] = [float((a == y[800:]).mean()) for a in answers]
        explained[weight] = [
            1 - float((s(rest) - rest).square().sum() / rest.square().sum()) for s in (stack[0], stack[1])
        ]
    assert max(right[0.0]) < 0.5 and min(right[0.5]) > 0.6, "a quarter would be chance"
    assert max(explained[0.5]) < min(explained[0.0]), "what labels ask for is paid for in variance"


def test_only_the_reference_engine_trains_a_head_and_says_why() -> None:
    config = TopKConfig(d_sae=23, k=3, supervised=SupervisedConfig(classes=C))
    engine, why = choose(config, TrainingConfig())
    assert (engine.name, why) == (
        "reference",
        "a supervised head reads labels of the rows, which kernels are not given",
    )
    with pytest.raises(UserError, match="engine cpu cannot run this: a supervised head reads labels"):
        choose(config, TrainingConfig(engine="cpu"))


def test_a_job_without_labels_is_refused(tmp_path: Path) -> None:
    without = job(headed(CONFIGS[0], 1), (0,))
    object.__setattr__(without, "labels_at", None)
    with pytest.raises(UserError, match="a head needs the label answer"):
        train(without, tmp_path)
