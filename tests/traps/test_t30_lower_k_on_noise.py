"""T30. "Lower k, more consistent features of the model": the same on a random-weight model and on a Gaussian.

Both trained controls are in every study of a model, and the verdict is the excess over them: a Gaussian that is handed
in as the target shows the k effect, and husai does not call it reproducible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence_on_disk import FLAT, Files, setting
from husai.activations.source import PlantedSource, SurrogateSource
from husai.recipes.architectures import grokked
from husai.recipes.quickstart import study
from husai.statistics.decision import decide
from husai.studies.claims.words import words
from husai.studies.evidence import Measured, difference, evidence, gather
from husai.studies.plan import plan
from husai.studies.study import Controls
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


def test_an_effect_that_random_weight_models_have_too_is_not_supported(tmp_path: Path) -> None:
    """The effect of k is beyond the Gaussian, and as large on models that learned nothing."""
    high = FLAT | {("k2", "target"): 0.6}
    read = setting(grokked("blocks.0.hook_resid_post"), controls=Controls(random_models=5))
    found, arms = Files(tmp_path, high | {("k2", "random_model"): 0.6}, models=0.01).judge(read)
    calls = {name: said for name, (said, _) in found.elements[0].calls.items()}
    assert calls == {"gaussian": "beyond", "random_model": "not beyond"} and found.state == "not supported"
    assert "beyond random_model" in words(found) and found.raw_state == "supported"
    assert arms["k2"].says(0.05) == "not beyond"
    kept, _ = Files(tmp_path, high, models=0.01).judge(read)
    assert kept.state == "supported" and kept.elements[0].calls["random_model"][1].n_unit == "seeds, 5 models"
    few = setting(grokked("blocks.0.hook_resid_post"), controls=Controls(random_models=3))
    assert Files(tmp_path, high, models=0.01).judge(few)[0].state == "no verdict", "three models, however many seeds"
