"""Splicing a reconstruction into a real trained model: against logits computed without hooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from husai.evals.splice import mean_ablation, recovered, spliced, zero_ablation
from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.pretrain import pretrain
from husai.models.transformer import Transformer
from husai.tasks.modular import ModularConfig
from husai.tasks.task import Task

HOOK = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def trained() -> tuple[Transformer, Task]:
    task = ModularConfig(p=37, train_fraction=0.8).build()
    config = PretrainConfig(lr=5e-3, eval_every=50, max_steps=1500, extra_steps=0)
    return pretrain(config, TransformerConfig(d_model=48, d_mlp=128), task, 0).model, task


def test_clean_and_identity_agree_with_the_model_itself(trained: tuple[Transformer, Task]) -> None:
    model, task = trained
    rows = task.test_index
    with torch.no_grad():
        logits = model(torch.tensor(task.tokens_NT[rows]))[:, task.read_position].double()
    labels = torch.tensor(task.labels_N[rows])
    expected = torch.nn.functional.cross_entropy(logits, labels).item()
    for replace in (None, lambda x: x):
        found = spliced(model, task, rows, HOOK, replace)
        assert found.cross_entropy == pytest.approx(expected, rel=1e-6)
        assert found.kl == pytest.approx(0, abs=1e-9)
        assert found.accuracy == pytest.approx((logits.argmax(-1) == labels).double().mean().item())


def test_zero_ablation_after_the_last_layer_leaves_the_bias_free_unembedding(trained: tuple[Transformer, Task]) -> None:
    """Logits of a zero residual stream are equal for every class, so that cross-entropy is log p exactly."""
    model, task = trained
    found = spliced(model, task, task.test_index, HOOK, zero_ablation)
    assert found.cross_entropy == pytest.approx(np.log(37), rel=1e-6)


def test_an_edit_that_matters_is_seen(trained: tuple[Transformer, Task]) -> None:
    model, task = trained
    clean = spliced(model, task, task.test_index, HOOK, None)
    gross = spliced(model, task, task.test_index, HOOK, lambda x: -x)
    assert gross.kl > 0.1 and gross.cross_entropy > clean.cross_entropy
    mean = spliced(model, task, task.test_index, HOOK, mean_ablation(torch.zeros(48)))
    assert mean == spliced(model, task, task.test_index, HOOK, zero_ablation)


def test_only_the_read_position_is_replaced(trained: tuple[Transformer, Task]) -> None:
    """At the residual stream before attention, a change at other positions would reach the answer."""
    model, task = trained
    seen = []
    spliced(model, task, task.test_index[:4], "blocks.0.hook_resid_pre", lambda x: seen.append(x.shape) or x)  # type: ignore[func-returns-value]
    assert seen == [torch.Size([4, 48])]


def test_recovered_is_one_at_clean_zero_at_the_reference_and_missing_without_a_gap() -> None:
    assert recovered(0.2, 0.2, 3.0) == 1
    assert recovered(3.0, 0.2, 3.0) == 0
    assert recovered(0.2, 0.2, 0.2) is None
