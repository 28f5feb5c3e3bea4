"""Which architecture's features come back beyond trained controls, at matched L0 and at what reconstruction?"""

from __future__ import annotations

from husai.activations.source import CapturedSource, PlantedSource
from husai.models.config import PretrainConfig, TransformerConfig
from husai.saes.config import (
    AbsTopKConfig,
    AlignedConfig,
    AnySAEConfig,
    ArchetypalConfig,
    BatchTopKConfig,
    ExpertTopKConfig,
    GatedConfig,
    GBAConfig,
    GlobalMaskConfig,
    HierarchicalTopKConfig,
    JumpReluConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
    ReluL1Config,
    SwitchConfig,
    TopKConfig,
)
from husai.studies.study import Controls
from husai.studies.survey import Setting, Survey, SurveyArm
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

TARGET_L0, PLANTED_L0 = (4, 8, 32), (2, 3, 6)


def single_hook(d_sae: int, l0: int) -> dict[str, AnySAEConfig]:
    """Every trainable architecture that reads one hook."""
    aux = d_sae // 4
    levels = tuple(n for n in (1, 2, 4, 8, 16) if n < l0)
    return {
        "topk": TopKConfig(d_sae=d_sae, aux_k=aux),
        "abstopk": AbsTopKConfig(d_sae=d_sae, aux_k=aux),
        "batchtopk": BatchTopKConfig(d_sae=d_sae, aux_k=aux),
        "matryoshka": MatryoshkaConfig(d_sae=d_sae, aux_k=aux),
        "hierarchical_topk": HierarchicalTopKConfig(d_sae=d_sae, k=l0, levels=levels, aux_k=aux),
        "matching_pursuit": MatchingPursuitConfig(d_sae=d_sae),
        "aligned": AlignedConfig(d_sae=d_sae, aux_k=aux),
        "archetypal": ArchetypalConfig(d_sae=d_sae, n_centroids=2 * d_sae, aux_k=aux),
        "relu_l1": ReluL1Config(d_sae=d_sae),
        "gated": GatedConfig(d_sae=d_sae),
        "jumprelu": JumpReluConfig(d_sae=d_sae, l0_coefficient=0.1, threshold=0.05, bandwidth=0.05),
        "gba": GBAConfig(d_sae=d_sae),
        "switch": SwitchConfig(d_sae=d_sae, experts=2, aux_k=aux),
        "expert_topk": ExpertTopKConfig(d_sae=d_sae, experts=4, active_experts=2, aux_k=aux),
        "global_mask": GlobalMaskConfig(d_sae=d_sae, experts=2, aux_k=aux),
    }


def arms(d_sae: int, requested: tuple[int, ...]) -> tuple[SurveyArm, ...]:
    """All architectures at every requested L0."""
    return tuple(
        SurveyArm(name=f"{kind.replace('_', '-')}-{l0}", sae=sae, l0=l0)
        for l0 in requested
        for kind, sae in single_hook(d_sae, l0).items()
    )


def quick() -> Survey:
    """The same with one L0 for each source, and too few steps to be believed."""
    full = study()
    target, planted = full.settings
    fewer = {"steps": 400}
    small = (
        target.model_copy(
            update={"arms": arms(128, (8,)), "training": target.training.model_copy(update=fewer), "max_steps": 400}
        ),
        planted.model_copy(
            update={"arms": arms(32, (3,)), "training": planted.training.model_copy(update=fewer), "max_steps": 400}
        ),
    )
    return full.model_copy(update={"name": "architectures-quick", "settings": small})


def study() -> Survey:
    """The grokked model of the quickstart and a planted dictionary where the truth is known."""
    return Survey(
        name="architectures",
        question="Does the architecture change which features come back, at matched L0 and beyond trained controls?",
        settings=(
            Setting(
                name="target",
                title="a one-layer transformer that has grokked addition modulo 113",
                source=CapturedSource(
                    task=ModularConfig(operation="addition", p=113, train_fraction=0.7),
                    model=TransformerConfig(n_layers=1, d_model=128, n_heads=4, d_mlp=512),
                    pretrain=PretrainConfig(batch=1024, lr=1e-3, weight_decay=0.3),
                    hook_name="blocks.0.hook_resid_post",
                    positions="read",
                ),
                arms=arms(128, TARGET_L0),
                training=TrainingConfig(steps=1600, batch=448, lr=1.1e-2, eps=3e-2, decay=0.5),
                max_steps=1600,
            ),
            Setting(
                name="planted",
                title="a planted dictionary: 32 true features in 16 dimensions, 3 active",
                source=PlantedSource(planted=PlantedConfig(d_in=16, n_features=32, n_active=3, n_rows=20_000)),
                arms=arms(32, PLANTED_L0),
                training=TrainingConfig(steps=2000, batch=512, lr=3e-3, decay=0.5),
                max_steps=4000,
                controls=Controls(random_models=0),
            ),
        ),
    )
