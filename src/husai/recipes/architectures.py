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
    JacobianConfig,
    JumpReluConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
    ReluL1Config,
    RouteConfig,
    SkipTranscoderConfig,
    SwitchConfig,
    TopKConfig,
    TranscoderConfig,
)
from husai.studies.study import Controls
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

TARGET_L0, PLANTED_L0, HOOKED_K = (4, 8, 32), (2, 3, 6), 4
MODEL = TransformerConfig(n_layers=1, d_model=128, n_heads=4, d_mlp=512)


def every_kind(d_sae: int, l0: int) -> dict[str, AnySAEConfig]:
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


def single_hook(d_sae: int, requested: tuple[int, ...]) -> tuple[SurveyArm, ...]:
    """All of them at every requested L0."""
    return tuple(
        SurveyArm(name=f"{kind.replace('_', '-')}-{l0}", sae=sae, l0=l0)
        for l0 in requested
        for kind, sae in every_kind(d_sae, l0).items()
    )


def transcoders(d_sae: int, k: int) -> tuple[SurveyArm, ...]:
    """Architectures around an MLP; a JSAE keeps k latents on each side, and without a Jacobian it is two SAEs."""
    aux = d_sae // 4
    made = {
        "transcoder": TranscoderConfig(d_sae=d_sae, k=k, aux_k=aux),
        "skip-transcoder": SkipTranscoderConfig(d_sae=d_sae, k=k, aux_k=aux),
        "jsae-without": JacobianConfig(d_sae=2 * d_sae, k=k, d_mlp=MODEL.d_mlp),
        "jsae": JacobianConfig(d_sae=2 * d_sae, k=k, d_mlp=MODEL.d_mlp, jacobian=0.1),
    }
    return tuple(SurveyArm(name=f"{name}-{k}", sae=sae) for name, sae in made.items())


def grokked(hook_name: str, *more_hooks: str) -> CapturedSource:
    """Activations of the quickstart's model, where the answer is read."""
    return CapturedSource(
        task=ModularConfig(operation="addition", p=113, train_fraction=0.7),
        model=MODEL,
        pretrain=PretrainConfig(batch=1024, lr=1e-3, weight_decay=0.3),
        hook_name=hook_name,
        more_hooks=more_hooks,
        positions="read",
    )


def study() -> Survey:
    """The grokked model of the quickstart and a planted dictionary where the truth is known."""
    training = TrainingConfig(steps=1200, batch=448, lr=1.1e-2, eps=3e-2, decay=0.5)
    target = Setting(
        name="target",
        title="a one-layer transformer that has grokked addition modulo 113",
        source=grokked("blocks.0.hook_resid_post"),
        arms=single_hook(128, TARGET_L0),
        training=training,
        max_steps=1200,
    )
    planted = Setting(
        name="planted",
        title="a planted dictionary: 32 true features in 16 dimensions, 3 active",
        source=PlantedSource(planted=PlantedConfig(d_in=16, n_features=32, n_active=3, n_rows=20_000)),
        arms=single_hook(32, PLANTED_L0),
        training=TrainingConfig(steps=3000, batch=512, lr=1e-2, decay=0.5),
        max_steps=3000,
        controls=Controls(random_models=0),
    )
    mlp = Setting(
        name="mlp",
        title="the same transformer, from the input of its MLP to the output",
        source=grokked("blocks.0.hook_resid_mid", "blocks.0.hook_mlp_out"),
        arms=transcoders(128, HOOKED_K),
        training=training,
        max_steps=1200,
        ranked=False,
    )
    layers = Setting(
        name="layers",
        title="the same transformer, before and after its MLP",
        source=grokked("blocks.0.hook_resid_mid", "blocks.0.hook_resid_post"),
        arms=(SurveyArm(name=f"route-{HOOKED_K}", sae=RouteConfig(d_sae=128, k=HOOKED_K, aux_k=32)),),
        training=training,
        max_steps=1200,
        ranked=False,
    )
    return Survey(
        name="architectures",
        question="Does the architecture change which features come back, at matched L0 and beyond trained controls?",
        settings=(target, planted, mlp, layers),
        remarks=(
            "the L0 of a JSAE counts both of its SAEs, its explained variance is that of both hooks together",
            "a RouteSAE reconstructs, and is judged by, the layer that it picks times the router's probability",
        ),
    )


def quick() -> Survey:
    """The same with one L0 for each source, and too few steps to be believed."""
    full, steps = study(), 300
    arms = {"target": single_hook(128, (8,)), "planted": single_hook(32, (3,))}
    small = tuple(
        setting.model_copy(
            update={
                "arms": arms.get(setting.name, setting.arms),
                "training": setting.training.model_copy(update={"steps": steps}),
                "max_steps": steps,
            }
        )
        for setting in full.settings
    )
    return full.model_copy(update={"name": "architectures-quick", "settings": small})
