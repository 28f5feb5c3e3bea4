"""Small real studies, computed node by node in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from husai.activations.source import PlantedSource, Source
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.studies.conclude import Conclusion, conclude
from husai.studies.executors.worker import compute
from husai.studies.node import folder_of, work_of
from husai.studies.plan import Plan, plan
from husai.studies.study import Arm, Study
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

PLANTED = PlantedSource(planted=PlantedConfig(d_in=16, n_features=24, n_active=2, n_rows=2500))


@dataclass
class SmallRun:
    """A plan whose nodes are done, and what was concluded from it."""

    plan: Plan
    conclusion: Conclusion
    records: dict[str, RunRecord] = field(default_factory=dict)

    def measure(self, source: str, arm: str) -> RunRecord:
        """Record of the measure node at the full budget."""
        return self.records[self.plan.final[source, arm].id]


@pytest.fixture
def small_study(tmp_path: Path) -> Callable[[Source, TrainingConfig], SmallRun]:
    """Run k = 2 against k = 6 on a source, with every control that a source without a model has."""

    def run(target: Source, training: TrainingConfig) -> SmallRun:
        study = Study(
            name="small",
            question="?",
            hypothesis="?",
            target=target,
            positive=PLANTED,
            arms=(
                Arm(name="k2", sae=TopKConfig(d_sae=24, k=2, aux_k=8, dead_after=1000)),
                Arm(name="k6", sae=TopKConfig(d_sae=24, k=6, aux_k=8, dead_after=1000)),
            ),
            factor="k",
            training=training,
            max_steps=training.steps,
        )
        made, results = plan(study, training.steps), Results(tmp_path)
        records = {node.id: compute(work_of(node, results), tmp_path) for node in made.nodes}
        folders = {node.id: folder_of(node, results) for node in made.nodes}
        return SmallRun(made, conclude(made, folders, records), records)

    return run
