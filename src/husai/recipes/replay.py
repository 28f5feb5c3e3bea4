"""Published claims of SAE stability, run again as their authors ran them: why husai exists."""

from __future__ import annotations

from husai.models.config import PretrainConfig
from husai.recipes.scale import Scale
from husai.studies.replays.replay import Replay, leaky
from husai.studies.replays.replay import Scale as Sizes
from husai.studies.study import Controls

QUESTION = "What do published claims give as their authors ran them, and what when they are read rightly?"
SHORT = PretrainConfig(
    batch=64, lr=3e-3, weight_decay=1.0, warmup_steps=0, max_steps=150, eval_every=50, target_accuracy=1.0, hold=1000
)

SMALL = Sizes(
    source=leaky(37, SHORT, n_layers=1), batch=512, seeds=6, steps=200, search_steps=100, search_k=(4, 8, 32), wide=512,
    wide_steps=60, wide_longer=200, longer=400, enough=(400, 400), coupled=200, planted_steps=800,
    planted_rows=4000, simulations=500,
    controls=Controls(random_models=5, seeds_per_random_model=2),
)  # fmt: skip


def study(scale: Scale = "full") -> Replay:
    """At the published sizes, where these are known; quick: a smaller modulus and fewer steps, within a minute."""
    if scale == "full":
        return Replay(name="replay", question=QUESTION)
    return Replay(name="replay", question=QUESTION, scale=SMALL)
