"""The quickstart in under a minute: the same graph on a small modulus, with too few steps to be believed."""

from __future__ import annotations

from husai.activations.source import CapturedSource, PlantedSource
from husai.models.config import PretrainConfig, TransformerConfig
from husai.recipes.quickstart import CIRCULAR
from husai.saes.config import TopKConfig
from husai.studies.study import Arm, Controls, Study
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig


def study() -> Study:
    """Every part of the quickstart, small; the cap on steps leaves arms undertrained, and the verdict says so."""
    return Study(
        name="smoke",
        question="Does every part of husai work together on this machine?",
        hypothesis="the run ends with a verdict in words, which may well be that there is none",
        target=CapturedSource(
            task=ModularConfig(operation="addition", p=29, train_fraction=0.7),
            model=TransformerConfig(n_layers=1, d_model=64, n_heads=4, d_mlp=128),
            pretrain=PretrainConfig(batch=256, lr=3e-3, max_steps=3000, eval_every=50, extra_steps=50),
            hook_name="blocks.0.hook_resid_post",
            positions="read",
        ),
        positive=PlantedSource(planted=PlantedConfig(d_in=32, n_features=48, n_active=2, n_rows=2000)),
        arms=(Arm(name="k2", sae=TopKConfig(d_sae=48, k=2)), Arm(name="k8", sae=TopKConfig(d_sae=48, k=8))),
        factor="k",
        controls=Controls(random_models=5, seeds_per_random_model=2),
        seeds=5,
        training=TrainingConfig(steps=60, batch=64, lr=3e-3),
        max_steps=120,
        margin=0.05,
        remarks=(CIRCULAR,),
    )
