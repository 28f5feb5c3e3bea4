"""Architectures whose loss, or whose biases, make their codes sparse. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.saes.config.common import CommonConfig
from husai.saes.config.limits import takes_only


class ReluL1Config(CommonConfig):
    """ReLU with an L1 penalty: `l1 * mean_b sum_f |f| * ||W_dec_f||` (sum over latents, not mean)."""

    kind: Literal["relu_l1"] = "relu_l1"
    l1: float = Field(default=1.0, ge=0, description="weight of a sum over latents, on rows of mean square norm d_in")
    song_l1: float | None = Field(
        default=None, ge=0, description="trains the objective of 2505.20254, whose mse is a mean, with this weight"
    )


class JumpReluConfig(CommonConfig):
    """JumpReLU: a learned threshold per latent (2407.14435). Lengths are in units of sqrt(d_in), see `jumprelu.py`."""

    kind: Literal["jumprelu"] = "jumprelu"
    l0_coefficient: float = Field(default=1e-3, ge=0, description="weight of L0, relative to the variance of the rows")
    l0_target: float | None = Field(default=None, gt=0, description="L0 to be held; none: the penalty is linear in L0")
    threshold: float = Field(default=1e-3, gt=0, description="of every latent at step 0")
    bandwidth: float = Field(default=1e-3, gt=0, description="width of the rectangle that gives thresholds a slope")
    threshold_as: Literal["log", "value"] = Field(
        default="log", description="how thresholds are kept; as their value where another tool trained them"
    )


class GatedConfig(CommonConfig):
    """Gated (2404.16014): one path decides whether a latent fires, the other how strongly; L1 on the first alone."""

    kind: Literal["gated"] = "gated"
    l1: float = Field(default=1.0, ge=0, description="weight of a sum over latents, on rows of mean square norm d_in")


class GBAConfig(CommonConfig):
    """Group bias adaptation (2506.14002): biases follow target frequencies, no penalty; the rule is in `gba.py`.

    Latents form `groups` of equal size; group g aims at firing in `target * ratio**g` of the rows.
    """

    kind: Literal["gba"] = "gba"
    target: float = Field(default=0.1, gt=0, le=1, description="firing frequency of the first group, the highest")
    groups: int = Field(default=5, ge=1)
    ratio: float = Field(default=0.5, gt=0, le=1, description="frequency of a group over that of the one before")
    window: int = Field(default=2048, ge=1, le=10_000_000, description="rows after which biases are adapted")
    rate: float = Field(default=0.02, gt=0, lt=1, description="size of an adaptation, relative to peak codes")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        free_encoder = ("none", "decoder", "soft_decoder")
        takes_only(self, "biases that adapt are what makes its codes sparse", freeze=free_encoder)
        return self
