"""What an SAE is, as values. Torch-free; `architecture(config)` in `registry.py` finds the code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from husai.config import Config
from husai.errors import UserError

DecoderNorm = Literal["unit", "free"]
# Controls: rows that stay as they were drawn. `soft_decoder` keeps each row within cosine .8 of its start.
Freeze = Literal["none", "decoder", "soft_decoder", "encoder"]


class TopKConfig(Config):
    """TopK: the `k` largest of relu(pre-activations); AuxK revives dead latents when `aux_k > 0` (2406.04093)."""

    kind: Literal["topk"] = "topk"
    d_sae: int = Field(default=256, ge=1)
    k: int = Field(default=32, ge=1)
    aux_k: int = Field(default=0, ge=0, description="dead latents that predict the residual; 0 turns AuxK off")
    aux_coefficient: float = Field(default=1 / 32, ge=0)
    dead_after: int = Field(default=10_000, ge=1, description="rows without firing after which a latent counts as dead")
    decoder_norm: DecoderNorm = "unit"
    tied_init: bool = Field(default=True, description="W_enc starts as the transpose of W_dec")
    freeze: Freeze = "none"


class ReluL1Config(Config):
    """ReLU with an L1 penalty: `l1 * mean_b sum_f |f| * ||W_dec_f||` (sum over latents, not mean)."""

    kind: Literal["relu_l1"] = "relu_l1"
    d_sae: int = Field(default=256, ge=1)
    l1: float = Field(default=1.0, ge=0)
    decoder_norm: DecoderNorm = "unit"
    tied_init: bool = True
    freeze: Freeze = "none"
    dead_after: int = Field(default=10_000, ge=1)


class JumpReluConfig(Config):
    """JumpReLU: a learned threshold per latent (2407.14435). Lengths are in units of sqrt(d_in), see `jumprelu.py`."""

    kind: Literal["jumprelu"] = "jumprelu"
    d_sae: int = Field(default=256, ge=1)
    l0_coefficient: float = Field(default=1e-3, ge=0, description="weight of L0, relative to the variance of the rows")
    l0_target: float | None = Field(default=None, gt=0, description="L0 to be held; none: the penalty is linear in L0")
    threshold: float = Field(default=1e-3, gt=0, description="of every latent at step 0")
    bandwidth: float = Field(default=1e-3, gt=0, description="width of the rectangle that gives thresholds a slope")
    decoder_norm: DecoderNorm = "unit"
    tied_init: bool = True
    freeze: Freeze = "none"
    dead_after: int = Field(default=10_000, ge=1)


SAEConfig = Annotated[TopKConfig | ReluL1Config | JumpReluConfig, Field(discriminator="kind")]
AnySAEConfig = TopKConfig | ReluL1Config | JumpReluConfig


def check_sizes(config: AnySAEConfig, d_in: int) -> list[str]:
    """Whether the sizes can work on `d_in` dimensions; returns warnings.

    Raises:
        UserError: `k >= min(d_in, d_sae)`: such a code is not sparse (a k of 3,686 was once run on d_in = 1,024).
    """
    if not isinstance(config, TopKConfig):
        return []
    limit = min(d_in, config.d_sae)
    if config.k >= limit:
        raise UserError(
            f"k = {config.k} is not sparse for d_in = {d_in}, d_sae = {config.d_sae}: choose k below {limit}, "
            f"better below {max(1, limit // 2)}"
        )
    if config.aux_k > config.d_sae:
        raise UserError(f"aux_k = {config.aux_k} is more than d_sae = {config.d_sae}: choose at most d_sae")
    if 2 * config.k >= limit:
        return [f"k = {config.k} is half of min(d_in, d_sae) = {limit} or more: the code is hardly sparse"]
    return []


def k_label(config: AnySAEConfig) -> str:
    """What stands for k in a run's name: the k of TopK, `na` where the architecture has none."""
    return str(config.k) if isinstance(config, TopKConfig) else "na"
