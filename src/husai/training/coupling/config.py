"""Which objective ties the seeds of a stack together, as values. Torch-free.

`ties` says in words to what; `needs_reference` whether that is an SAE which is trained first.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from husai.config import Config
from husai.saes.conventions import BESIDE

WEIGHT = "relative to the variance of the rows"


class AlignmentConfig(Config):
    """Each decoder row is drawn to the row of the reference that it is most like; the formula is in `alignment.py`."""

    ties: ClassVar[str] = "to a reference"
    needs_reference: ClassVar[bool] = True
    multiplies: ClassVar[str] = (
        "times V times (1 - mean over latents of the largest |cosine| with a row of a reference)"
    )

    kind: Literal["alignment"] = "alignment"
    weight: float = Field(default=0.1, ge=0, description=WEIGHT)


class PinningConfig(Config):
    """A part of the reference's latents is copied and frozen, encoder and decoder; see `pinning.py`."""

    ties: ClassVar[str] = "to a reference"
    needs_reference: ClassVar[bool] = True
    multiplies: ClassVar[str] = ""

    kind: Literal["pinning"] = "pinning"
    fraction: float = Field(default=0.5, gt=0, le=1, description="of the latents, the same ones in every seed")


class AssignmentConfig(Config):
    """Decoder rows and those of the reference are paired one to one; see `assignment.py`."""

    ties: ClassVar[str] = "to a reference"
    needs_reference: ClassVar[bool] = True
    multiplies: ClassVar[str] = (
        "times V times (1 - mean over latents of the cosine with the matched row of a reference)"
    )

    kind: Literal["assignment"] = "assignment"
    weight: float = Field(default=0.1, ge=0, description=WEIGHT)
    every: int = Field(default=50, ge=1, description="steps after which the matching is found anew")


class JointConfig(Config):
    """The seeds of a group are drawn to each other; see `joint.py`."""

    ties: ClassVar[str] = "to each other"
    needs_reference: ClassVar[bool] = False
    multiplies: ClassVar[str] = (
        "times V times (1 - mean over pairs of seeds and over latents of the cosine of matched rows), in the loss of "
        "each seed of the group"
    )

    kind: Literal["joint"] = "joint"
    weight: float = Field(default=0.1, ge=0, description=WEIGHT)
    every: int = Field(default=50, ge=1, description="steps after which the matchings are found anew")


class ContrastiveConfig(Config):
    """The seeds of a group turn latents to anchors that they share, rows of the data; see `contrastive.py`."""

    ties: ClassVar[str] = "to anchors that they share"
    needs_reference: ClassVar[bool] = False
    multiplies: ClassVar[str] = "times V times the mean over anchors of -log softmax(cosine / temperature), in nats"

    kind: Literal["contrastive"] = "contrastive"
    weight: float = Field(default=0.1, ge=0, description=WEIGHT)
    temperature: float = Field(default=0.3, gt=0, description="cosines are divided by it")
    anchors: int | None = Field(default=None, ge=2, description="of each group; default: half of d_sae, at most 1,024")


AnyCoupling = AlignmentConfig | PinningConfig | AssignmentConfig | JointConfig | ContrastiveConfig
CouplingConfig = Annotated[AnyCoupling, Field(discriminator="kind")]


def penalty(coupling: AnyCoupling) -> dict[str, str]:
    """What the weight of a coupling multiplies, in words, as `conventions.penalties`; nothing at weight 0."""
    if isinstance(coupling, PinningConfig) or not coupling.weight:
        return {}
    return {"coupling.weight": f"{coupling.multiplies}, {BESIDE}"}


def ties(kind: str) -> str:
    """To what the coupling of that name ties seeds, in words."""
    return next(c.ties for c in get_args(AnyCoupling) if c.model_fields["kind"].default == kind)
