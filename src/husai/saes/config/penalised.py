"""Architectures whose loss makes their codes sparse. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from husai.saes.config.common import CommonConfig


class ReluL1Config(CommonConfig):
    """ReLU with an L1 penalty: `l1 * mean_b sum_f |f| * ||W_dec_f||` (sum over latents, not mean)."""

    kind: Literal["relu_l1"] = "relu_l1"
    l1: float = Field(default=1.0, ge=0)
    song_l1: float | None = Field(default=None, ge=0, description="trains the objective of 2505.20254 with this weight")


class JumpReluConfig(CommonConfig):
    """JumpReLU: a learned threshold per latent (2407.14435). Lengths are in units of sqrt(d_in), see `jumprelu.py`."""

    kind: Literal["jumprelu"] = "jumprelu"
    l0_coefficient: float = Field(default=1e-3, ge=0, description="weight of L0, relative to the variance of the rows")
    l0_target: float | None = Field(default=None, gt=0, description="L0 to be held; none: the penalty is linear in L0")
    threshold: float = Field(default=1e-3, gt=0, description="of every latent at step 0")
    bandwidth: float = Field(default=1e-3, gt=0, description="width of the rectangle that gives thresholds a slope")
