"""T10. "Consistency .9986": the decoders had become copies of what they were drawn to; EV had fallen from .83 to .51.
Inside a group agreement rises by construction. What decides in husai is agreement between groups that know nothing of
each other; the number inside is marked as put in, and a weight that swamps the reconstruction loss is said in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from husai.activations.source import PlantedSource
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.store.tensors import load_arrays
from husai.studies.coupled import Coupled
from husai.studies.executors.worker import compute
from husai.studies.node import Node, folder_of, work_of
from husai.studies.plan import activations_nodes, measure_node, reference_node, stack_node
from husai.studies.presenting import present
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.config import AlignmentConfig, JointConfig

SOURCE = PlantedSource(planted=PlantedConfig(d_in=16, n_features=48, n_active=4, n_rows=2000))
SAE = TopKConfig(d_sae=24, k=2)
TRAINING = TrainingConfig(steps=120, batch=96, lr=8e-3)
SEEDS, LABELS = (0, 1, 2, 3), np.array([0, 0, 1, 1])


@dataclass
class Arm:
    """Four seeds, trained and measured; the matrix of their pairs."""

    stack: RunRecord
    measure: RunRecord
    mcc_SS: np.ndarray
    max_SS: np.ndarray

    def value(self, name: str, **scope: str) -> float:
        found = self.measure.get(name, **scope).value
        assert found is not None
        return found

    def mean(self, matrix_SS: np.ndarray, same_group: bool) -> float:
        of = (LABELS[:, None] == LABELS[None]) == same_group
        return float(matrix_SS[of & ~np.eye(4, dtype=bool)].mean())


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Arm]:
    root = tmp_path_factory.mktemp("t10")
    (data,) = activations_nodes(SOURCE, 0)
    reference = reference_node(SAE, TRAINING, TRAINING.steps, 0, data, "references", 2)
    for node in (data, reference):
        _computed(node, root)
    asked = {
        "free": None,
        "joint": Coupled(JointConfig(weight=1.0), None, 2),
        "strong joint": Coupled(JointConfig(weight=50.0), None, 2),
        "strong alignment": Coupled(AlignmentConfig(weight=50.0), reference, 2),
    }
    return {name: _arm(data, root, name, coupled) for name, coupled in asked.items()}


def _arm(data: Node, root: Path, name: str, coupled: Coupled | None) -> Arm:
    stack = stack_node(SAE, TRAINING, TRAINING.steps, SEEDS, 0, data, name, coupled=coupled)
    measure = measure_node(stack, data, 0, f"measure {name}")
    records = [_computed(node, root) for node in (stack, measure)]
    pairs = load_arrays(folder_of(measure, Results(root)) / "pairs.safetensors")
    return Arm(records[0], records[1], pairs["mcc_signed|all"], pairs["mean_max_cos|all"])


def _computed(node: Node, root: Path) -> RunRecord:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("husai.studies.nodes.stack.warn", lambda text: None)
        return compute(work_of(node, Results(root)), root)


def test_copies_agree_and_explain_less_and_the_groups_do_not_agree_more(arms: dict[str, Arm]) -> None:
    free, strong = arms["free"], arms["strong joint"]
    assert strong.value("mcc_signed.within_groups", population="all") > 0.99
    assert strong.value("explained_variance") < free.value("explained_variance") - 0.1
    between = strong.value("mcc_signed.between_groups", population="all")
    assert between < free.value("mcc_signed", population="all")


def test_drawn_to_one_reference_they_look_alike_too(arms: dict[str, Arm]) -> None:
    """The published case: the largest cosine of each row, and seeds that copy one reference."""
    free, strong = arms["free"], arms["strong alignment"]
    assert strong.value("explained_variance") < free.value("explained_variance") - 0.1
    inside = strong.mean(strong.max_SS, True) - free.mean(free.max_SS, True)
    across = strong.mean(strong.max_SS, False) - free.mean(free.max_SS, False)
    assert across < inside - 0.02


def test_the_mean_over_all_pairs_would_have_said_that_it_helps(arms: dict[str, Arm]) -> None:
    free, joint = arms["free"], arms["joint"]
    before = free.value("mcc_signed", population="all")
    assert joint.value("mcc_signed", population="all") > before + 0.02
    assert joint.value("mcc_signed.between_groups", population="all") < before + 0.01


@pytest.mark.parametrize("name", ["joint", "strong joint", "strong alignment"])
def test_what_decides_holds_no_pair_of_one_group(arms: dict[str, Arm], name: str) -> None:
    arm = arms[name]
    for same, metric in ((False, "mcc_signed.between_groups"), (True, "mcc_signed.within_groups")):
        assert arm.value(metric, population="all") == pytest.approx(arm.mean(arm.mcc_SS, same), abs=1e-12)
    within = arm.measure.get("mcc_signed.within_groups", population="all")
    assert within.interval is None and within.no_interval.startswith("seeds of a group were trained to agree: put in")
    shown = " ".join(present.record(arm.measure).split())
    assert "mcc_signed.between_groups decides: 2 groups of seeds were trained apart" in shown
    assert "mcc_signed.within_groups nothing else: they were trained to agree, which is put in, not found" in shown


def test_a_weight_that_swamps_the_loss_is_said(arms: dict[str, Arm]) -> None:
    said = {name: " ".join(arm.stack.facts["warnings"]) for name, arm in arms.items()}
    for name in ("strong joint", "strong alignment"):
        assert "times the reconstruction loss at step 1 and" in said[name]
        assert "look at the explained variance" in said[name]
    assert "coupling" not in said["free"] and "times the reconstruction loss" not in said["joint"]
