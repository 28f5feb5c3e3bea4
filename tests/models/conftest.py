"""Models that several tests read: one that generalised, one that copies a leaked label, one that was never trained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.pretrain import Pretrained, pretrain
from husai.tasks.modular import ModularConfig
from husai.tasks.task import Task

SMALL = TransformerConfig(d_model=48, d_mlp=128)
QUICK = PretrainConfig(lr=5e-3, eval_every=50, max_steps=1500, extra_steps=0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Equal bits need an equal thread count."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def task() -> Task:
    """(a + b) mod 37, most pairs in training, so that a small model generalises in seconds."""
    return ModularConfig(p=37, train_fraction=0.8).build()


@pytest.fixture(scope="session")
def trained(task: Task) -> Pretrained:
    """A small model that generalised."""
    torch.set_num_threads(1)
    return pretrain(QUICK, SMALL, task, seed=0)


@pytest.fixture(scope="session")
def tiny() -> Task:
    """The smallest useful task, for tests of the loop rather than of the result."""
    return ModularConfig(p=7).build()
