"""Objectives that tie seeds together: do they make features more reproducible between groups that never met?"""

from __future__ import annotations

from husai.activations.source import PlantedSource
from husai.recipes.architectures import grokked
from husai.recipes.quickstart import CIRCULAR
from husai.recipes.scale import Scale, cap, remarks, training
from husai.saes.config import AlignedConfig, ArchetypalConfig, TopKConfig
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.study import Controls
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.config import (
    AlignmentConfig,
    AnyCoupling,
    AssignmentConfig,
    ContrastiveConfig,
    JointConfig,
    PinningConfig,
)

PLAIN, K = "plain", 8
COUPLINGS: dict[str, AnyCoupling] = {
    "alignment-low": AlignmentConfig(weight=0.03),
    "alignment": AlignmentConfig(weight=0.3),
    "assignment": AssignmentConfig(weight=0.3),
    "joint": JointConfig(weight=0.3),
    "contrastive": ContrastiveConfig(weight=0.03),
    "pinning": PinningConfig(fraction=0.25),
}
FACTORS = {"aligned": ("kind",), "archetypal": ("kind", "decoder_norm")}
FEW = ("alignment", "assignment", "joint")


def arms(scale: Scale, d_sae: int, k: int) -> tuple[SurveyArm, ...]:
    """The SAE without a coupling (lambda = 0), with each, and two architectures that promise consistency alone."""
    sae = TopKConfig(d_sae=d_sae, k=k, aux_k=d_sae // 4)
    chosen = {name: c for name, c in COUPLINGS.items() if scale == "full" or name in FEW}
    coupled = (SurveyArm(name=name, sae=sae, coupling=coupling) for name, coupling in chosen.items())
    others = (
        SurveyArm(name="aligned", sae=AlignedConfig(d_sae=d_sae, k=k, aux_k=d_sae // 4)),
        SurveyArm(name="archetypal", sae=ArchetypalConfig(d_sae=d_sae, k=k, n_centroids=2 * d_sae, aux_k=d_sae // 4)),
    )
    return (SurveyArm(name=PLAIN, sae=sae), *coupled, *(others if scale == "full" else ()))


def study(scale: Scale = "full") -> Survey:
    """Five groups of two seeds each; what decides is agreement between groups, at what cost in explained variance."""
    target = Setting(
        name="target", title="a one-layer transformer that has grokked addition modulo 113",
        source=grokked("blocks.0.hook_resid_post"), arms=arms(scale, 128, K), training=training(scale, quick=150),
        max_steps=cap(scale, full=1250, quick=150), seeds=10, group_size=2,
        controls=Controls(seeds_per_random_model=4), ranked=False, same_steps=True,
    )  # fmt: skip
    planted = Setting(
        name="planted", title="a planted dictionary: 64 true features in 32 dimensions, 3 active",
        source=PlantedSource(planted=PlantedConfig(d_in=32, n_features=64, n_active=3, n_rows=10_000)),
        arms=arms(scale, 64, 3),
        training=TrainingConfig(steps=1000 if scale == "full" else 150, batch=448, lr=1e-2, decay=0.5),
        max_steps=cap(scale, full=4000, quick=150), seeds=10, group_size=2, controls=Controls(random_models=0),
        ranked=False, same_steps=True,
    )  # fmt: skip
    return Survey(
        name="consistency",
        question="Do objectives that tie seeds together make features more reproducible between independent groups?",
        settings=(target, planted),
        claims=tuple(claim for setting in (target, planted) for claim in _claims(setting)),
        remarks=(CIRCULAR, *remarks(scale)),
    )


def _claims(setting: Setting) -> list[DifferenceClaim]:
    """Each against lambda = 0 on the same seeds."""
    return [
        DifferenceClaim(
            name=f"{setting.name}-{arm.name}", setting=setting.name, a=arm.name, b=PLAIN,
            factors=("coupling",) if arm.coupling else FACTORS[arm.name], quality="not lower", family=setting.name,
        )
        for arm in setting.arms
        if arm.name != PLAIN
    ]  # fmt: skip
