"""T11. "EV falls by .258": the reference, which no coupling had touched, was in the mean; it fell by .32. husai gives
the reference a node and a number of its own, and takes the mean over the coupled seeds alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from husai.activations.source import PlantedSource
from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.studies.coupled import REFERENCE_SEEDS, Coupled, reference_seeds
from husai.studies.executors.worker import compute
from husai.studies.node import Node, work_of
from husai.studies.plan import activations_nodes, measure_node, reference_node, stack_node
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.config import AlignmentConfig

SOURCE = PlantedSource(planted=PlantedConfig(d_in=16, n_features=48, n_active=4, n_rows=2000))
SAE = TopKConfig(d_sae=24, k=2)
TRAINING = TrainingConfig(steps=100, batch=96, lr=8e-3)
SEEDS = (0, 1, 2, 3)


@dataclass
class Case:
    """Four seeds in two groups, coupled and not, and the references of the groups."""

    stack: RunRecord
    coupled: RunRecord
    free: RunRecord
    reference: RunRecord

    def explained(self, record: RunRecord) -> np.ndarray:
        return np.array([m.value for m in record.measurements if m.name == "explained_variance" and "seed" in m.scope])


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    root = tmp_path_factory.mktemp("t11")
    (data,) = activations_nodes(SOURCE, 0)
    reference = reference_node(SAE, TRAINING, TRAINING.steps, 0, data, "references", 2)
    asked = Coupled(AlignmentConfig(weight=50.0), reference, 2)
    coupled = stack_node(SAE, TRAINING, TRAINING.steps, SEEDS, 0, data, "coupled", coupled=asked)
    free = stack_node(SAE, TRAINING, TRAINING.steps, SEEDS, 0, data, "free")
    measures = [measure_node(stack, data, 0, f"measure {stack.title}") for stack in (coupled, free, reference)]
    records = {n.id: _computed(n, root) for n in (data, reference, coupled, free, *measures)}
    return Case(records[coupled.id], *(records[m.id] for m in measures))


def _computed(node: Node, root: Path) -> RunRecord:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("husai.studies.nodes.stack.warn", lambda text: None)
        return compute(work_of(node, Results(root)), root)


def test_the_mean_is_over_the_coupled_seeds_alone(case: Case) -> None:
    values, mean = case.explained(case.coupled), case.coupled.get("explained_variance")
    assert len(values) == 4 and mean.n == 4
    assert mean.value == pytest.approx(values.mean(), abs=1e-12)
    assert case.coupled.seeds["seeds"] == list(SEEDS) and not set(SEEDS) & set(reference_seeds(2))


def test_with_the_references_in_it_the_fall_would_be_smaller(case: Case) -> None:
    before, after = case.free.get("explained_variance").value, case.coupled.get("explained_variance").value
    assert before is not None and after is not None
    fall = before - after
    with_them = before - np.concatenate([case.explained(case.coupled), case.explained(case.reference)]).mean()
    assert fall > 0.1 and with_them < 0.8 * fall


def test_each_reference_has_a_number_of_its_own(case: Case) -> None:
    own = [case.stack.get("explained_variance.reference", group=str(group)) for group in (0, 1)]
    assert [m.value for m in own] == pytest.approx(case.explained(case.reference).tolist(), abs=1e-12)
    assert min(m.value for m in own if m.value is not None) > case.explained(case.coupled).max()
    assert {m.name for m in case.coupled.measurements if "reference" in m.name} == set()


def test_a_reference_among_the_seeds_is_refused() -> None:
    (data,) = activations_nodes(SOURCE, 0)
    coupled = Coupled(AlignmentConfig(), reference_node(SAE, TRAINING, TRAINING.steps, 0, data, "reference"))
    with pytest.raises(UserError, match="is a reference as well: it would be compared with what it was drawn to"):
        stack_node(SAE, TRAINING, TRAINING.steps, (0, *REFERENCE_SEEDS), 0, data, "x", coupled=coupled)
