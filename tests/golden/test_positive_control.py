"""The golden row of the planted positive control, through the same nodes as any study: all +-.02.

Planted D = 128, 256 unit-norm Gaussian features, 4 active, 12,769 rows; TopK F = 256, tied start, unit decoder rows,
Adam 1e-3 decayed to 0 over the last fifth, batch 512, 2,500 steps, 5 seeds, all rows for training and evaluation.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from husai.activations.source import PlantedSource, SurrogateSource
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.studies.executors.worker import compute
from husai.studies.node import Node, work_of
from husai.studies.plan import activations_nodes, measure_node, stack_node
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

PLANTED = PlantedSource(planted=PlantedConfig(d_in=128, n_features=256, n_active=4, n_rows=12_769))
TRAINING = TrainingConfig(steps=2500, batch=512, lr=1e-3, decay=0.2, held_out=0)
TOLERANCE = 0.02


def measured(root: Path, nodes: list[Node], k: int) -> RunRecord:
    """Train five seeds on the last of `nodes` and measure them."""
    seeds = tuple(range(5))
    stack = stack_node(TopKConfig(d_sae=256, k=k), TRAINING, 2500, seeds, 0, nodes[-1], f"k={k}")
    measure = measure_node(stack, nodes[-1], 0, f"measure k={k}")
    records = [compute(work_of(node, Results(root)), root) for node in (*nodes, stack, measure)]
    return records[-1]


def value(record: RunRecord, name: str, **scope: str) -> float:
    """A measured value; missing is a failure."""
    found = record.get(name, **scope).value
    assert found is not None, name
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("k", "between", "to_truth", "ev"), [(4, 0.90, 0.94, 0.947), (32, 0.43, 0.61, 0.944)])
def test_planted(k: int, between: float, to_truth: float, ev: float, tmp_path: Path) -> None:
    found = measured(tmp_path, activations_nodes(PLANTED, 0), k)
    got = {
        "between": value(found, "mcc_signed", population="all"),
        "to_truth": value(found, "mcc_to_truth"),
        "ev": value(found, "explained_variance"),
    }
    assert got == pytest.approx({"between": between, "to_truth": to_truth, "ev": ev}, abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(("k", "between"), [(4, 0.395), (32, 0.27)])
def test_gaussian_twin(k: int, between: float, tmp_path: Path) -> None:
    found = measured(tmp_path, activations_nodes(SurrogateSource(of=PLANTED), 0), k)
    assert value(found, "mcc_signed", population="all") == pytest.approx(between, abs=TOLERANCE)
