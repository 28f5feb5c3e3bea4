"""Architectures whose latents are divided among experts, a router choosing for each row. Torch-free."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from husai.saes.config.common import KConfig


class RoutedConfig(KConfig):
    """`experts` groups of `d_sae / experts` neighbouring latents each, and the weights of the router's own terms."""

    experts: int = Field(default=4, ge=2)
    balance: float = Field(default=0.1, ge=0, description="load balancing, relative to the variance of the rows")
    entropy: float = Field(
        default=0.0,
        description="weight of a row's entropy over experts, relative to the variance of the rows; above 0 it is a "
        "penalty (rows commit to an expert), below 0 a bonus (they spread)",
    )


class SwitchConfig(RoutedConfig):
    """Switch SAE (2410.08201): each row goes to one expert and keeps the `k` largest of its latents."""

    kind: Literal["switch"] = "switch"
    active_experts: ClassVar[int] = 1


class ExpertTopKConfig(RoutedConfig):
    """Each row goes to `active_experts` experts and keeps the `k` largest of all their latents."""

    kind: Literal["expert_topk"] = "expert_topk"
    active_experts: int = Field(default=1, ge=1)


class GlobalMaskConfig(RoutedConfig):
    """Each row keeps the `k` largest of all latents, of these only those of its experts: L0 is far below `k`."""

    kind: Literal["global_mask"] = "global_mask"
    active_experts: int = Field(default=1, ge=1)
