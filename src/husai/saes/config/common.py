"""What the config of every architecture has. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.config import Config
from husai.saes.config.supervised import SupervisedConfig

# `projected`: unit rows, and the part of their gradient that would only change their length is taken out before Adam.
DecoderNorm = Literal["unit", "free", "projected"]
# Controls: rows that stay as they were drawn. `soft_decoder` keeps each row within cosine .8 of its start.
Freeze = Literal["none", "decoder", "soft_decoder", "encoder"]


class CommonConfig(Config):
    """Options of every architecture; where one makes no sense, the architecture's file says so."""

    d_sae: int = Field(default=256, ge=1)
    decoder_norm: DecoderNorm = "unit"
    tied_init: bool = Field(default=True, description="W_enc starts as the transpose of W_dec")
    subtract_b_dec: bool = Field(default=True, description="pre-activations are taken of x - b_dec, else of x")
    decorrelation: float = Field(default=0.0, ge=0, description="weight, relative to the variance of the rows")
    freeze: Freeze = "none"
    dead_after: int = Field(default=10_000, ge=1, description="rows without firing after which a latent counts as dead")
    supervised: SupervisedConfig | None = Field(default=None, description="a head that reads a label off the codes")

    @model_validator(mode="after")
    def _codes_can_move(self) -> Self:
        if self.supervised is not None and self.supervised.weight and self.freeze == "encoder":
            raise ValueError("a label moves codes, which a frozen encoder holds: set supervised.weight to 0")
        return self


class AuxKConfig(CommonConfig):
    """Options of architectures whose dead latents can be made to predict the residual (AuxK, 2406.04093)."""

    aux_k: int = Field(default=0, ge=0, description="dead latents that predict the residual; 0 turns AuxK off")
    aux_coefficient: float = Field(default=1 / 32, ge=0)


class KConfig(AuxKConfig):
    """Options of architectures that keep the `k` largest latents of each row."""

    k: int = Field(default=32, ge=1)
