"""What an SAE is compared with: a linear autoencoder, principal directions, random directions. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.saes.config.common import CommonConfig
from husai.saes.config.limits import takes_only


class LinearConfig(CommonConfig):
    """Linear autoencoder, MSE alone: its latents are defined up to rotation only."""

    kind: Literal["linear"] = "linear"


class PCAConfig(CommonConfig):
    """The first `d_sae` principal directions of the seed's own rows; nothing is trained."""

    kind: Literal["pca"] = "pca"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        takes_only(self, "it reads rows around their mean", subtract_b_dec=True)
        _untrained(self)
        return self


class RandomConfig(CommonConfig):
    """Unit Gaussian directions, as decoder and as encoder; TopK; nothing is trained."""

    kind: Literal["random"] = "random"
    k: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _untrained(self)
        return self


def _untrained(config: CommonConfig) -> None:
    takes_only(config, "nothing is trained", freeze="none", decorrelation=0, supervised=None)
    takes_only(config, "its rows are unit and its encoder is tied", decoder_norm="unit", tied_init=True)
