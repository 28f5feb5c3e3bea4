"""Architectures that keep a number of latents: `k` in each row, or on average. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from husai.saes.config.common import KConfig


class TopKConfig(KConfig):
    """TopK: the `k` largest of relu(pre-activations); AuxK revives dead latents when `aux_k > 0` (2406.04093)."""

    kind: Literal["topk"] = "topk"
    song_l1: float | None = Field(default=None, ge=0, description="trains the objective of 2505.20254 with this weight")
