"""Architectures whose parameters obey a constraint after every step. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.saes.config.common import DecoderNorm, KConfig
from husai.saes.config.limits import takes_only


class ArchetypalConfig(KConfig):
    """RA-SAE (2502.12892): decoder rows stay within `delta` of mixtures of centroids of the seed's own rows; TopK."""

    kind: Literal["archetypal"] = "archetypal"
    decoder_norm: DecoderNorm = "free"
    n_centroids: int = Field(default=256, ge=2, description="k-means centroids that decoder rows are mixtures of")
    delta: float = Field(default=0.1, ge=0, description="how far a row may leave the hull, in units of sqrt(d_in)")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        takes_only(self, "its rows lie in the hull of the data, where unit rows need not", decoder_norm="free")
        made = "its W_dec is made of mixtures and relaxations"
        takes_only(self, f"{made}, which a frozen or soft-frozen part does not name", freeze="none")
        takes_only(self, f"{made}, which the term does not move", decorrelation=0)
        return self


class AlignedConfig(KConfig):
    """Aligned training (2605.18629): `w_enc_f . w_dec_f = 1` for every latent; TopK."""

    kind: Literal["aligned"] = "aligned"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        shrink = "with free norms, decoder rows shrink while encoder rows grow without end"
        takes_only(self, shrink, decoder_norm=("unit", "projected"))
        why = "the encoder follows the decoder, so it cannot be frozen, and the decoder cannot be turned after it"
        takes_only(self, why, freeze=("none", "decoder"))
        return self
