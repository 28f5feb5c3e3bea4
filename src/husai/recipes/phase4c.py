"""Phase 4c: how stability moves with k, with the width, with the norm of decoder rows, and with steps."""

from __future__ import annotations

from husai.recipes.architectures import grokked
from husai.recipes.quickstart import CIRCULAR
from husai.recipes.scale import Scale, cap, remarks, training
from husai.saes.config import TopKConfig
from husai.studies.claims.claim import AnyClaim, DifferenceClaim, PeakClaim
from husai.studies.surveys.survey import Setting, Survey, SurveyArm

KS = {"full": (4, 8, 16, 24, 32, 48, 64, 96), "quick": (4, 32, 96)}
WIDTHS = {"full": (16, 32, 64, 80, 128, 256, 512, 1024), "quick": (16, 64, 128)}
NORMS = ("unit", "free", "projected")
D_SAE, K, NORM_K = 128, 32, 16
SOURCE = grokked("blocks.0.hook_resid_post")


def sae(d_sae: int, k: int, **more: object) -> TopKConfig:
    """TopK with a quarter of its latents open to AuxK."""
    return TopKConfig.parse({"d_sae": d_sae, "k": k, "aux_k": d_sae // 4, **more})


def _setting(scale: Scale, name: str, title: str, arms: tuple[SurveyArm, ...], most: int = 5000) -> Setting:
    return Setting(
        name=name, title=title, source=SOURCE, arms=arms, training=training(scale),
        max_steps=cap(scale, full=most), ranked=False,
    )  # fmt: skip


def sparsities(scale: Scale) -> Setting:
    """One width, every k."""
    arms = tuple(SurveyArm(name=f"k{k}", sae=sae(D_SAE, k)) for k in KS[scale])
    return _setting(scale, "k", f"k at d_sae = {D_SAE}", arms, most=10_000)


def widths(scale: Scale) -> Setting:
    """Every width, k = min(32, d_sae / 4)."""
    arms = tuple(SurveyArm(name=f"d{d}", sae=sae(d, min(K, d // 4))) for d in WIDTHS[scale])
    return _setting(scale, "width", "d_sae, with k = min(32, d_sae / 4)", arms)


def norms(scale: Scale) -> Setting:
    """One width and k, every way to treat the norm of decoder rows."""
    arms = tuple(SurveyArm(name=norm, sae=sae(D_SAE, NORM_K, decoder_norm=norm)) for norm in NORMS)
    return _setting(scale, "norm", f"the norm of decoder rows at d_sae = {D_SAE}, k = {NORM_K}", arms, most=2500)


def trades(scale: Scale) -> list[AnyClaim]:
    """A lower k is more stable and explains less, against k = 32: smaller ones against it, it against larger ones."""
    pairs = [(k, K) if k < K else (K, k) for k in KS[scale] if k != K]
    return [
        DifferenceClaim(
            name=f"trade-{low}-{high}", setting="k", a=f"k{low}", b=f"k{high}", factors=("k",), quality="lower",
            family="trade",
        )
        for low, high in pairs
    ]  # fmt: skip


def study(scale: Scale = "full") -> Survey:
    """H1: a peak where k or d_sae matches the effective rank. H2: k trades stability for reconstruction."""
    claims: list[AnyClaim] = [
        PeakClaim(
            name="peak-k", setting="k", arms=tuple(f"k{k}" for k in KS[scale]), field="k", factors=("k",)
        ),
        PeakClaim(
            name="peak-width", setting="width", arms=tuple(f"d{d}" for d in WIDTHS[scale]), field="d_sae",
            factors=("d_sae", "k", "aux_k"),
        ),
        *trades(scale),
        *(
            DifferenceClaim(
                name=f"norm-{norm}", setting="norm", a=norm, b="unit", factors=("decoder_norm",), family="norm"
            )
            for norm in NORMS[1:]
        ),
    ]  # fmt: skip
    return Survey(
        name="phase4c",
        question="How does stability beyond controls move with k, d_sae, the norm of decoder rows, and training steps?",
        settings=(sparsities(scale), widths(scale), norms(scale)),
        claims=tuple(claims),
        remarks=(CIRCULAR, *remarks(scale)),
    )
