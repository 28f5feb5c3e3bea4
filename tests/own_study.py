"""A study as a user would write it, which takes seconds."""

from husai.activations.source import PlantedSource
from husai.saes.config import TopKConfig
from husai.studies.study import Arm, Study
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

STEPS = 20
ROWS = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=400))


def arm(k):
    return Arm(name=f"k{k}", sae=TopKConfig(d_sae=12, k=k))


def study():
    return Study(
        name="own",
        question="?",
        hypothesis="?",
        target=ROWS,
        positive=ROWS,
        arms=(arm(1), arm(3)),
        factor="k",
        training=TrainingConfig(steps=STEPS, batch=32),
        max_steps=STEPS,
        seeds=2,
    )


if __name__ == "__main__":
    raise RuntimeError("only when it is run as a program")
