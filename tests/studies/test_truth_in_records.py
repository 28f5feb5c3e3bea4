"""What the records say of planted rows and of the dictionaries trained on them: true L0, frequencies, what is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from husai.activations.cache import ActivationCache
from husai.activations.source import PlantedSource
from husai.evals.recovery import recovery
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.store.ranges import range_of
from husai.store.record import RunRecord
from husai.store.tensors import load_arrays
from husai.studies.executors.worker import compute
from husai.studies.node import Node, folder_of, work_of
from husai.studies.nodes import measure as measure_code
from husai.studies.plan import activations_nodes, measure_node, stack_node
from husai.tasks.planted import PlantedConfig
from husai.tasks.structured import StructuredConfig
from husai.training.config import TrainingConfig

TINY = StructuredConfig(d_in=8, n_features=12, mean_active=1.5, n_factors=3, n_rows=600)
SEEDS = (0, 1, 2, 3, 4)


def done(node: Node, root: Path) -> RunRecord:
    return compute(work_of(node, Results(root)), root)


@pytest.mark.parametrize("config", [TINY, PlantedConfig(d_in=8, n_features=12, n_active=3, n_rows=600)])
def test_true_l0_and_frequencies_of_planted_rows_are_written(
    config: StructuredConfig | PlantedConfig, tmp_path: Path
) -> None:
    (data,) = activations_nodes(PlantedSource(planted=config), 0)
    found, planted = done(data, tmp_path), config.build()
    truth = load_arrays(folder_of(data, Results(tmp_path)) / "truth.safetensors")
    assert np.array_equal(truth["dictionary_FD"], planted.dictionary_FD)
    assert found.facts["true_l0"] == found.get("true_l0").value == np.count_nonzero(planted.values_NK) / 600
    np.testing.assert_allclose(truth["frequency_F"].sum(), found.facts["true_l0"])
    assert config.describe() in found.facts["rows"]


def test_a_row_without_features_has_no_largest(tmp_path: Path) -> None:
    (data,) = activations_nodes(PlantedSource(planted=TINY), 0)
    done(data, tmp_path)
    labels_N = ActivationCache(folder_of(data, Results(tmp_path)) / "rows").labels("largest").labels_N
    empty_N = ~TINY.build().values_NK.any(1)
    assert empty_N.any() and np.array_equal(labels_N == -1, empty_N)


def test_the_measure_node_writes_them_with_intervals_over_seeds(tmp_path: Path) -> None:
    (data,) = activations_nodes(PlantedSource(planted=TINY), 0)
    stack = stack_node(TopKConfig(d_sae=9, k=3), TrainingConfig(steps=60, batch=64, lr=1e-2), 60, SEEDS, 0, data, "x")
    measure = measure_node(stack, data, 0, "m")
    _, _, found = (done(node, tmp_path) for node in (data, stack, measure))
    planted = TINY.build()
    W = load_arrays(folder_of(stack, Results(tmp_path)) / "stack.safetensors")["W_dec"]
    scores = [recovery(w, planted.dictionary_FD, np.ones(9, dtype=bool)) for w in W]
    assert found.facts["alive"] == [9] * 5, "the scores are of all latents"
    for t in (0.7, 0.9):
        for name, expected in (
            ("precision_to_truth", [s.precision(t) for s in scores]),
            ("recall_of_truth", [s.recall(t) for s in scores]),
            ("firings_of_truth_found", [s.recall_of_firings(t, planted.frequency_F) for s in scores]),
        ):
            m = found.get(f"{name}({t:g})")
            assert m.value == pytest.approx(np.mean(expected)) and 0 < m.value < 1
            assert m.interval is not None and m.n == 5 and range_of(m.name) == (0, 1)
            assert [found.get(m.name, seed=str(s)).value for s in SEEDS] == pytest.approx(expected)


def test_truth_without_frequencies_leaves_out_what_needs_them() -> None:
    """As rows have it that were written before frequencies were kept."""
    scores = [recovery(np.eye(5), np.eye(6)[:, :5] + 0.1, np.ones(5, dtype=bool))]
    names = [name for name, *_ in measure_code._found(scores, None)]
    assert names == [f"{name}_truth({t})" for t in (0.7, 0.9) for name in ("precision_to", "recall_of")]
