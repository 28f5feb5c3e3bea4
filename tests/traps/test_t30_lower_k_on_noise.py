"""T30. "Lower k, more consistent features of the model": the same on a random-weight model and on a Gaussian.

Both trained controls are in every study of a model, and the verdict is the excess over them: a Gaussian that is handed
in as the target shows the k effect, and husai does not call it reproducible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from husai.activations.source import PlantedSource, SurrogateSource
from husai.recipes.quickstart import study
from husai.statistics.decision import decide
from husai.studies.evidence import Measured, difference, evidence, gather
from husai.studies.plan import plan
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

PLANTED = PlantedSource(planted=PlantedConfig(d_in=16, n_features=24, n_active=2, n_rows=2500))


def test_the_effect_of_k_on_noise_is_not_beyond_the_controls(small_study: Callable[..., Any]) -> None:
    run = small_study(SurrogateSource(of=PLANTED, draw=7), TrainingConfig(steps=300, batch=64, lr=3e-3))
    found = run.conclusion.measurements
    raw = next(m for m in found if m.name == "difference" and m.scope == {"source": "target", "population": "alive"})
    assert raw.interval is not None and raw.interval.low is not None
    assert raw.interval.low > 0, "the bait: without controls this would be reported as an effect of k"
    assert run.conclusion.decision.state != "supported"
    assert {o.control: o.call for o in run.conclusion.decision.outcomes} == {"gaussian": "not beyond"}


def test_both_trained_controls_are_in_every_study_of_a_model() -> None:
    sources = plan(study(), study().training.steps).sources
    assert "gaussian" in sources
    assert sum(name.startswith("random-model-") for name in sources) >= 5


def test_without_the_gaussian_there_is_no_verdict(small_study: Callable[..., Any], tmp_path: Any) -> None:
    run = small_study(PLANTED, TrainingConfig(steps=20, batch=64))
    folders = {n.id: tmp_path / "nodes" / f"{n.kind}-{n.id}" for n in run.plan.nodes}
    m: Measured = gather(run.plan, folders, run.records)
    assert difference(m, "target").n == 5
    bare = replace(evidence(m, {"target k2": True, "target k6": True}), controls=())
    assert {reason.code for reason in decide(bare).reasons} >= {"missing control"}


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_random_models_decide_nothing(count: int) -> None:
    few = study().override([f"controls.random_models={count}"])
    assert len([s for s in plan(few, few.training.steps).sources if s.startswith("random-model-")]) == count
