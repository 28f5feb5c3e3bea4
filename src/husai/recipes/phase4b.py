"""Phase 4b: a linear autoencoder, ReLU and TopK under the same budget and seeds."""

from __future__ import annotations

from husai.recipes.architectures import grokked
from husai.recipes.quickstart import CIRCULAR
from husai.recipes.scale import Scale, cap, remarks, training
from husai.saes.config import LinearConfig, ReluL1Config, TopKConfig
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.surveys.survey import Setting, Survey, SurveyArm

D_SAE, L0 = 128, 32
TOPK = TopKConfig(d_sae=D_SAE, aux_k=D_SAE // 4)


def study(scale: Scale = "full") -> Survey:
    """ReLU and TopK at one L0, TopK also as SAELens trains it, where it is installed; the linear autoencoder has no L0,
    and is shown as it comes."""
    return Survey(
        name="phase4b",
        question="Linear, ReLU, TopK under the same budget and seeds: what does each reconstruct, and what comes back?",
        settings=(
            Setting(
                name="target",
                title="a one-layer transformer that has grokked addition modulo 113",
                source=grokked("blocks.0.hook_resid_post"),
                arms=(
                    SurveyArm(name="linear", sae=LinearConfig(d_sae=D_SAE)),
                    SurveyArm(name="relu", sae=ReluL1Config(d_sae=D_SAE), l0=L0),
                    SurveyArm(name="topk", sae=TOPK, l0=L0),
                    SurveyArm(name="saelens", sae=TOPK, l0=L0, trained_by="saelens"),
                ),
                training=training(scale),
                max_steps=cap(scale, full=1250),
                same_steps=True,
            ),
        ),
        claims=(
            DifferenceClaim(
                name="topk-over-relu",
                setting="target",
                a="topk",
                b="relu",
                factors=("kind", "aux_k"),
                quality="not lower",
            ),
        ),
        remarks=(CIRCULAR, *remarks(scale)),
    )
