"""Phase 4a: is a TopK SAE of eight times the width more reproducible than dictionaries that learned nothing?"""

from __future__ import annotations

from husai.recipes.architectures import grokked
from husai.recipes.quickstart import CIRCULAR
from husai.recipes.scale import Scale, cap, remarks, training
from husai.saes.config import RandomConfig, TopKConfig
from husai.studies.surveys.survey import Setting, Survey, SurveyArm


def study(scale: Scale = "full") -> Survey:
    """128 -> 1,024, k = 32, 5 seeds; random, untrained and permuted decoders beside, and both trained controls."""
    width = 1024 if scale == "full" else 512
    topk = TopKConfig(d_sae=width, k=32, aux_k=width // 4)
    return Survey(
        name="phase4a",
        question=f"Do features of a TopK SAE (128 -> {width:,}, k = 32) come back beyond random and trained controls?",
        settings=(
            Setting(
                name="target",
                title="a one-layer transformer that has grokked addition modulo 113",
                source=grokked("blocks.0.hook_resid_post"),
                arms=(
                    SurveyArm(name="topk", sae=topk),
                    SurveyArm(name="random", sae=RandomConfig(d_sae=width, k=32)),
                ),
                training=training(scale),
                max_steps=cap(scale, full=2500),
                levels=True,
                ranked=False,
            ),
        ),
        remarks=(CIRCULAR, *remarks(scale)),
    )
