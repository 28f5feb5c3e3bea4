"""How SAEs are trained, as values. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.config import Config
from husai.seeds import Role


class TrainingConfig(Config):
    """Adam with a constant rate that is decayed linearly to zero over the last `decay` of the steps.

    `vary` names the streams that differ between seeds; the others are shared by all. `data = "disjoint"` gives each
    seed its own part of the rows. `engine` is part of the identity of a result, since it changes bits.
    """

    steps: int = Field(default=2500, ge=1)
    batch: int = Field(default=512, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    decay: float = Field(default=0.2, ge=0, le=1)
    held_out: float = Field(default=0.2, ge=0, lt=1, description="share of rows kept for evaluation")
    vary: tuple[Role, ...] = (Role.SAE_INIT, Role.BATCH_ORDER)
    data: Literal["shared", "disjoint"] = "shared"
    engine: Literal["auto", "reference", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _known_roles(self) -> Self:
        allowed = {Role.SAE_INIT, Role.BATCH_ORDER}
        if set(self.vary) - allowed or not self.vary:
            raise ValueError("vary takes sae_init and batch_order, at least one of them")
        return self
