"""Which objective ties the seeds of a stack to a trained reference, as values. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from husai.config import Config


class AlignmentConfig(Config):
    """Each decoder row is drawn to the row of the reference that it is most like; the formula is in `alignment.py`."""

    kind: Literal["alignment"] = "alignment"
    weight: float = Field(default=0.1, ge=0, description="relative to the variance of the rows")


class PinningConfig(Config):
    """A part of the reference's latents is copied and frozen, encoder and decoder; see `pinning.py`."""

    kind: Literal["pinning"] = "pinning"
    fraction: float = Field(default=0.5, gt=0, le=1, description="of the latents, the same ones in every seed")


AnyCoupling = AlignmentConfig | PinningConfig
CouplingConfig = Annotated[AnyCoupling, Field(discriminator="kind")]
