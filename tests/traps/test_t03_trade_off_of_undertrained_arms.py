"""T03. A "stability-quality trade-off over k" between two arms that were both undertrained: at convergence it was gone.

husai marks every arm that has not converged, by name, and such arms take part in no verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from husai.activations.source import PlantedSource
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

PLANTED = PlantedSource(planted=PlantedConfig(d_in=16, n_features=24, n_active=2, n_rows=2500))


def test_both_arms_are_marked_and_no_verdict_is_given(small_study: Callable[..., Any]) -> None:
    run = small_study(PLANTED, TrainingConfig(steps=60, batch=64, lr=3e-3))
    quality = {arm: run.measure("target", arm).get("explained_variance").value for arm in ("k2", "k6")}
    assert quality["k6"] > quality["k2"], "the bait: quality seems to be traded for stability"
    decision = run.conclusion.decision
    assert decision.state == "no verdict"
    marked = [reason.text for reason in decision.reasons if reason.code == "undertrained"]
    for arm in ("k2", "k6"):
        assert not run.conclusion.trained["target", arm].converged
        assert any(text.startswith(f"target {arm} is undertrained") for text in marked)
    assert "supported" not in decision.state
