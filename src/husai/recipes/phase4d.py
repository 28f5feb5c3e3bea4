"""Phase 4d: do newer architectures move the front of stability and reconstruction, against TopK at matched L0?"""

from __future__ import annotations

from husai.recipes.architectures import MODEL, grokked
from husai.recipes.quickstart import CIRCULAR
from husai.recipes.scale import Scale, cap, remarks, training
from husai.saes.config import (
    AnySAEConfig,
    GBAConfig,
    JacobianConfig,
    JumpReluConfig,
    MatryoshkaConfig,
    TopKConfig,
)
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.surveys.survey import Setting, Survey, SurveyArm

L0S = (32,)
D_SAE, JSAE_K = 128, 4
FAMILY = "architecture"
FACTORS = {"jumprelu": ("kind", "aux_k"), "matryoshka": ("kind",), "gba": ("kind", "aux_k")}  # two have no AuxK


def kinds() -> dict[str, AnySAEConfig]:
    """What is compared with TopK, and TopK."""
    aux = D_SAE // 4
    return {
        "topk": TopKConfig(d_sae=D_SAE, aux_k=aux),
        "jumprelu": JumpReluConfig(d_sae=D_SAE, l0_coefficient=0.1, threshold=0.05, bandwidth=0.05),
        "matryoshka": MatryoshkaConfig(d_sae=D_SAE, aux_k=aux),
        "gba": GBAConfig(d_sae=D_SAE),
    }


def matched(scale: Scale) -> Setting:
    """All of them at each L0."""
    arms = tuple(SurveyArm(name=f"{name}-{l0}", sae=sae, l0=l0) for l0 in L0S for name, sae in kinds().items())
    return Setting(
        name="target", title="a one-layer transformer that has grokked addition modulo 113",
        source=grokked("blocks.0.hook_resid_post"), arms=arms, training=training(scale),
        max_steps=cap(scale, full=2500),
    )  # fmt: skip


def pair_of_hooks(scale: Scale) -> Setting:
    """A JSAE with and without its Jacobian term: without, it is two SAEs."""
    made = {name: JacobianConfig(d_sae=2 * D_SAE, k=JSAE_K, d_mlp=MODEL.d_mlp, jacobian=weight)
            for name, weight in (("jsae-without", 0.0), ("jsae", 0.1))}  # fmt: skip
    return Setting(
        name="mlp", title="the same transformer, from the input of its MLP to the output",
        source=grokked("blocks.0.hook_resid_mid", "blocks.0.hook_mlp_out"),
        arms=tuple(SurveyArm(name=name, sae=sae) for name, sae in made.items()),
        training=training(scale, quick=100), max_steps=cap(scale, full=1250, quick=100), ranked=False, same_steps=True,
    )  # fmt: skip


def study(scale: Scale = "full") -> Survey:
    """H3: some newer architecture is more stable than TopK at no lower explained variance."""
    claims = [
        DifferenceClaim(
            name=f"{name}-{l0}", setting="target", a=f"{name}-{l0}", b=f"topk-{l0}", factors=factors,
            quality="not lower", family=FAMILY,
        )
        for l0 in L0S
        for name, factors in FACTORS.items()
    ]  # fmt: skip
    jsae = DifferenceClaim(
        name="jsae", setting="mlp", a="jsae", b="jsae-without", factors=("jacobian",), quality="not lower",
        family=FAMILY,
    )  # fmt: skip
    return Survey(
        name="phase4d",
        question="Does a newer architecture shift the front of stability and reconstruction against TopK?",
        settings=(matched(scale), pair_of_hooks(scale)),
        claims=(*claims, jsae),
        remarks=(CIRCULAR, *remarks(scale)),
    )
