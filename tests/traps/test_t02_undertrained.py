"""T02. "Trained SAEs match random ones": after 130 steps each row still had cosine .97 with its own start.

husai prints that cosine and the curve over steps beside every stability, and says "undertrained", not "unstable".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from husai.activations.source import PlantedSource
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

PLANTED = PlantedSource(planted=PlantedConfig(d_in=16, n_features=24, n_active=2, n_rows=2500))


def test_sixty_steps_are_called_undertrained(small_study: Callable[..., Any]) -> None:
    run = small_study(PLANTED, TrainingConfig(steps=60, batch=64, lr=1e-3))
    measured = run.measure("target", "k6")
    cosine = measured.get("cosine_to_init").value
    floor = measured.get("mcc_signed.floor", population="all").value
    stability = measured.get("mcc_signed", population="all").value
    assert cosine is not None and cosine > 0.9
    assert f"{cosine:.3f}"[:3] in measured.facts["distance_from_start"]
    assert abs(stability - floor) < 0.1, "the bait: it looks like a random dictionary"
    decision = run.conclusion.decision
    assert decision.state == "no verdict"
    assert {reason.code for reason in decision.reasons} >= {"undertrained"}
    words = run.conclusion.trained["target", "k6"].words()
    assert words.startswith("undertrained") and "unstable" not in decision.words
