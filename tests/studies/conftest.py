"""A study that takes seconds: planted rows, two arms, the controls of a source without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from husai.activations.source import PlantedSource
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.studies import computing
from husai.studies.executors.worker import compute
from husai.studies.node import Node, folder_of, work_of
from husai.studies.plan import Plan, plan
from husai.studies.study import Arm, Study
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from in_process import InProcess

PLANTED = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=400))


def _study(**changes: object) -> Study:
    fields = {
        "name": "tiny",
        "question": "?",
        "hypothesis": "?",
        "target": PLANTED,
        "positive": PLANTED,
        "arms": (Arm(name="k1", sae=TopKConfig(d_sae=12, k=1)), Arm(name="k3", sae=TopKConfig(d_sae=12, k=3))),
        "factor": "k",
        "training": TrainingConfig(steps=20, batch=32, lr=1e-2),
        "max_steps": 40,
    }
    return Study.parse(fields | changes)


@pytest.fixture
def tiny_study() -> Callable[..., Study]:
    """The study with some fields changed."""
    return _study


@dataclass
class Computed:
    """A plan whose nodes are done."""

    plan: Plan
    folders: dict[str, Path]
    records: dict[str, RunRecord]


@pytest.fixture
def computed(tmp_path: Path) -> Callable[[Study, int], Computed]:
    """Compute every node of a plan in this process."""

    def run(study: Study, steps: int) -> Computed:
        made, results = plan(study, steps), Results(tmp_path)
        records = {node.id: compute(work_of(node, results), tmp_path) for node in made.nodes}
        return Computed(made, {node.id: folder_of(node, results) for node in made.nodes}, records)

    return run


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """Real rows: 1,797 images of hand-written digits, 64 pixels, in random order."""
    from sklearn.datasets import load_digits

    rows = load_digits().data.astype(np.float32)
    return rows[np.random.default_rng(0).permutation(len(rows))]


@pytest.fixture
def long_stack(tmp_path: Path) -> Callable[[int], tuple[Node, Node]]:
    """Activations, and a stack that trains for as long as one likes."""
    from husai.studies.plan import activations_nodes, stack_node

    def make(steps: int, seed: int = 0) -> tuple[Node, Node]:
        (rows,) = activations_nodes(PLANTED, 0)
        training = TrainingConfig(steps=steps, batch=32)
        return rows, stack_node(TopKConfig(d_sae=12, k=2), training, steps, (seed,), 0, rows, f"stack {seed}")

    return make


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single steps and studies are computed in this process."""
    monkeypatch.setattr(computing, "LocalExecutor", InProcess)
