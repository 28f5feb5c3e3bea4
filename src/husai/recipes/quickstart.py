"""Are the features of a k = 4 TopK SAE more reproducible across seeds than those of a k = 32 one?"""

from __future__ import annotations

from husai.activations.source import CapturedSource, PlantedSource
from husai.models.config import PretrainConfig, TransformerConfig
from husai.saes.config import TopKConfig
from husai.studies.study import Arm, Study
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

CIRCULAR = (
    "Grokked addition is circular: within a Fourier plane any rotation of a set of directions reconstructs alike, so "
    "single latents need not be identifiable even where their planes are. See the overlap with the Fourier planes."
)


CHOSEN = (
    "Width, rate, epsilon and budget were chosen on exploratory runs so that every arm converges within the time; the "
    "margin, the controls and the rule were fixed before. Trained beyond the budget at which it counts as converged, "
    "k = 32 goes on climbing slowly on the target and its Gaussian twins."
)

POSITIVE = PlantedSource(planted=PlantedConfig(d_in=128, n_features=256, n_active=4, n_rows=12_769))


def study() -> Study:
    """A grokked transformer, a planted dictionary where the answer is yes, and trained controls where it is no."""
    return Study(
        name="quickstart",
        question=(
            "Are the features of a k = 4 TopK SAE more reproducible across seeds than those of a k = 32 one, beyond "
            "trained controls?"
        ),
        hypothesis="k = 4 is more reproducible than k = 32 by more than the margin beyond every control",
        target=CapturedSource(
            task=ModularConfig(operation="addition", p=113, train_fraction=0.7),
            model=TransformerConfig(n_layers=1, d_model=128, n_heads=4, d_mlp=512),
            pretrain=PretrainConfig(batch=1024, lr=1e-3, weight_decay=0.3),
            hook_name="blocks.0.hook_resid_post",
            positions="read",
        ),
        positive=POSITIVE,
        arms=(
            Arm(name="k4", sae=TopKConfig(d_sae=128, k=4, aux_k=32)),
            Arm(name="k32", sae=TopKConfig(d_sae=128, k=32, aux_k=32)),
        ),
        factor="k",
        seeds=5,
        training=TrainingConfig(steps=2500, batch=448, lr=1.1e-2, eps=3e-2, decay=0.5),
        max_steps=10_000,
        margin=0.05,
        remarks=(CIRCULAR, CHOSEN),
    )
