"""A head that reads a label off the codes, as an option of an SAE. Torch-free."""

from __future__ import annotations

from pydantic import Field

from husai.config import Config


class SupervisedConfig(Config):
    """`weight` of the classification loss; at 0 the head moves nothing but itself (see `saes/supervised.py`)."""

    weight: float = Field(default=0.0, ge=0, description="relative to the variance of the rows; 0: a probe beside")
    classes: int = Field(ge=2, description="as many as the label has on the rows")
    label: str = Field(default="answer", pattern=r"^[a-z][a-z0-9_]*$", description="name of the label that rows carry")
