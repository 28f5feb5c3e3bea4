"""Architectures that keep a number of latents: `k` in each row, or on average. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from husai.saes.config.common import AuxKConfig


class TopKConfig(AuxKConfig):
    """TopK: the `k` largest of relu(pre-activations); AuxK revives dead latents when `aux_k > 0` (2406.04093)."""

    kind: Literal["topk"] = "topk"
    k: int = Field(default=32, ge=1)
    song_l1: float | None = Field(default=None, ge=0, description="trains the objective of 2505.20254 with this weight")
