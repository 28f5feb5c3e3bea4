"""`Replay`: published claims run again as their authors ran them, each beside its right reading."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from husai.activations.source import CapturedSource
from husai.config import Config
from husai.models.config import PretrainConfig, TransformerConfig
from husai.studies.study import Controls
from husai.tasks.modular import ModularConfig

ClaimId = Literal["T01", "T02", "T03", "T04", "T05", "T09", "T10", "T11", "T18", "T28", "T29", "T30", "T31", "T32"]
ALL: tuple[ClaimId, ...] = (
    "T01", "T02", "T03", "T04", "T05", "T09", "T10", "T11", "T18", "T28", "T29", "T30", "T31", "T32",
)  # fmt: skip


def leaky(p: int, pretrain: PretrainConfig, n_layers: int = 2) -> CapturedSource:
    """The model of the report: the answer stands in the input at the position that is read.

    What the report leaves open (layers, layer norm, weight decay, hook) is what gives its other numbers back.
    """
    return CapturedSource(
        task=ModularConfig(p=p, layout="legacy_leaky", train_fraction=0.9),
        model=TransformerConfig(n_layers=n_layers, layer_norm=True),
        pretrain=pretrain,
        hook_name=f"blocks.{n_layers - 1}.hook_resid_post",
    )


TWO_EPOCHS = PretrainConfig(
    batch=128, lr=1e-3, weight_decay=1.0, warmup_steps=0, max_steps=178, eval_every=89, target_accuracy=1.0, hold=1000
)


class Scale(Config):
    """Sizes of the replay; the defaults are the published ones wherever these are known."""

    source: CapturedSource = leaky(113, TWO_EPOCHS)
    batch: int = Field(default=2048, ge=1, description="of the published trainings")
    seeds: int = Field(default=8, ge=5, description="of the published comparison of two k")
    steps: int = Field(default=280, ge=2, description="of the published comparison of two k")
    search_steps: int = Field(default=175, ge=2)
    search_k: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64)
    k: tuple[int, int] = (4, 32)
    d_sae: int = Field(default=128, ge=2)
    wide: int = Field(default=1024, ge=2)
    wide_steps: int = Field(default=130, ge=2)
    wide_longer: int = Field(default=600, ge=2, description="steps of the right reading of the wide SAEs")
    narrow: int = Field(default=64, ge=2)
    longer: int = Field(default=2500, ge=2, description="steps of the published comparison of two k, trained longer")
    enough: tuple[int, int] = Field(default=(2500, 2500), description="steps of the right readings, for each of k")
    coupled: int = Field(default=400, ge=2, description="steps of trainings that a reference takes part in")
    planted_steps: int = Field(default=1500, ge=2)
    planted_rows: int = Field(default=8000, ge=100)
    simulations: int = Field(default=2000, ge=100, description="repetitions that measure how often intervals cover")
    controls: Controls = Controls()


class Replay(Config):
    """What published reports claim, what a rerun in their way gives, and what the right reading says.

    Where the sizes are not those of the reports figures may differ for that reason alone, and every page says so.
    """

    kind: Literal["replay"] = "replay"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    question: str
    claims: tuple[ClaimId, ...] = Field(default=ALL, min_length=1)
    scale: Scale = Scale()
    root_seed: int = Field(default=0, ge=0)
    margin: float = Field(default=0.05, gt=0, lt=1)

    @property
    def published(self) -> bool:
        """Whether every size is that of the reports."""
        return self.scale == Scale()
