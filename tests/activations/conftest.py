"""Small activations, a small task and an untrained model for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from husai import events
from husai.activations.cache import ActivationCache
from husai.activations.manifest import Origin
from husai.activations.writer import ShardWriter
from husai.models.config import TransformerConfig
from husai.models.transformer import Transformer
from husai.tasks.modular import ModularConfig
from husai.tasks.task import Task

torch.set_num_threads(1)

MakeCache = Callable[..., ActivationCache]


class Recorder:
    """Listener that keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.steps: list[events.Progress] = []

    def progress(self, event: events.Progress) -> None:
        self.steps.append(event)

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))


@pytest.fixture
def heard():
    recorder = Recorder()
    with events.listening(recorder):
        yield recorder


@pytest.fixture
def external() -> Origin:
    return Origin(kind="external", synthetic=False, description="rows of a test")


@pytest.fixture
def make_cache(tmp_path: Path, external: Origin) -> MakeCache:
    """Writes rows (and columns) in blocks of `block` rows."""

    def make(
        rows: np.ndarray,
        *,
        origin: Origin | None = None,
        block: int = 97,
        shard_rows: int = 100,
        name: str = "cache",
        **columns: np.ndarray,
    ) -> ActivationCache:
        writer = ShardWriter(tmp_path / name, rows.shape[1], origin or external, shard_rows=shard_rows)
        for start in range(0, len(rows), block):
            part = {key: column[start : start + block] for key, column in columns.items()}
            writer.append(rows[start : start + block].astype(np.float32), **part)
        return writer.close()

    return make


@pytest.fixture(scope="session")
def task() -> Task:
    return ModularConfig(p=13).build()


@pytest.fixture(scope="session")
def model(task: Task) -> Transformer:
    return TransformerConfig(d_model=16, n_heads=2, d_mlp=32).fitted(task).build(seed=3)
