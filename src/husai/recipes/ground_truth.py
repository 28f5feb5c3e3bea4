"""Where the truth is known: are features that come back also true, below, at and above the true number of features?"""

from __future__ import annotations

from husai.activations.source import PlantedSource
from husai.recipes import quickstart
from husai.recipes.scale import Scale, cap, remarks, training
from husai.saes.config import RandomConfig, ReluL1Config, TopKConfig
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.study import Controls
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.tasks.structured import StructuredConfig
from husai.training.config import TrainingConfig

NO_MODEL = Controls(random_models=0)
POSITIVE = "k4-over-k32"
FIRST = (
    "The positive control is the setting `positive`. It was `control` first, with as many latents as features, which "
    "stayed undecided; that claim is still asked here."
)


def topk(name: str, d_sae: int, k: int) -> SurveyArm:
    """TopK with a quarter of its latents open to AuxK."""
    return SurveyArm(name=name, sae=TopKConfig(d_sae=d_sae, k=k, aux_k=d_sae // 4))


def song(scale: Scale) -> Setting:
    """The set-up of Song et al.: TopK and ReLU beside random directions."""
    steps = 4000 if scale == "full" else 300
    planted = PlantedConfig(d_in=16, n_features=32, n_active=3, n_rows=50_000 if scale == "full" else 10_000)
    return Setting(
        name="song", title="32 true features in 16 dimensions, 3 active (Song et al., arXiv 2505.20254)",
        source=PlantedSource(planted=planted),
        arms=(
            topk("topk", 32, 3),
            SurveyArm(name="relu", sae=ReluL1Config(d_sae=32, l1=0.1)),
            SurveyArm(name="random", sae=RandomConfig(d_sae=32, k=3)),
        ),
        training=TrainingConfig(steps=steps, batch=512, lr=1e-2, decay=0.5), max_steps=steps, controls=NO_MODEL,
        ranked=False,
    )  # fmt: skip


def control(scale: Scale) -> Setting:
    """As many latents as true features, at the true k and at eight times as many."""
    steps = 2500 if scale == "full" else 300
    return Setting(
        name="control", title="256 true features in 128 dimensions, 4 active",
        source=quickstart.POSITIVE,
        arms=(topk("k4", 256, 4), topk("k32", 256, 32), SurveyArm(name="random", sae=RandomConfig(d_sae=256, k=4))),
        training=TrainingConfig(steps=steps, batch=512, lr=1e-2, eps=1e-2, decay=0.5), max_steps=steps,
        controls=NO_MODEL, ranked=False,
    )  # fmt: skip


def positive(scale: Scale) -> Setting:
    """The positive control of the quickstart, as it is trained there: that k = 4 is more stable is known."""
    return Setting(
        name="positive", title="256 true features in 128 dimensions, 4 active, and half as many latents",
        source=quickstart.POSITIVE,
        arms=(topk("k4", 128, 4), topk("k32", 128, 32)), training=training(scale, full=2500),
        max_steps=cap(scale, full=10_000), controls=NO_MODEL, ranked=False, same_steps=True,
    )  # fmt: skip


def structured(scale: Scale) -> Setting:
    """Hierarchical, correlated, with frequencies by Zipf's law; widths below, at and above the true number."""
    steps, full = (1500, True) if scale == "full" else (200, False)
    features = 1024 if full else 256
    made = StructuredConfig(d_in=96, n_features=features, mean_active=9, n_rows=30_000 if full else 10_000)
    widths = (features // 2, features, 2 * features) if full else (features // 2, features)
    return Setting(
        name="structured",
        title=f"{features:,} true features in 96 dimensions, 9 active on average; children, correlations, Zipf",
        source=PlantedSource(planted=made),
        arms=(
            *(topk(f"d{width}", width, 9) for width in widths),
            SurveyArm(name="random", sae=RandomConfig(d_sae=features, k=9)),
        ),
        training=TrainingConfig(steps=steps, batch=512, lr=5e-3, eps=1e-2, decay=0.5), max_steps=steps,
        controls=NO_MODEL, ranked=False,
    )  # fmt: skip


def study(scale: Scale = "full") -> Survey:
    """Recovery, precision and recall beside consistency; random directions score their floor."""
    return Survey(
        name="ground_truth",
        question="Where the dictionary is known: are features that come back true, and how many of the true ones do?",
        settings=(song(scale), control(scale), positive(scale), structured(scale)),
        claims=(
            DifferenceClaim(name=POSITIVE, setting="positive", a="k4", b="k32", factors=("k",)),
            DifferenceClaim(name=f"{POSITIVE}-at-full-width", setting="control", a="k4", b="k32", factors=("k",)),
        ),
        remarks=(FIRST, *remarks(scale)),
    )
