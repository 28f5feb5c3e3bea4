"""Architectures whose latents are divided among experts, a router choosing for each row. Torch-free."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from husai.errors import UserError
from husai.saes.config.common import AuxKConfig


class RoutedConfig(AuxKConfig):
    """`experts` groups of `d_sae / experts` neighbouring latents each, and the weights of the router's own terms."""

    k: int = Field(default=32, ge=1)
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


AnyRoutedConfig = SwitchConfig | ExpertTopKConfig | GlobalMaskConfig


def check_experts(config: AnyRoutedConfig) -> None:
    """Whether the latents can be divided among the experts, and those that a row is sent to leave a choice of k.

    Raises:
        UserError: they cannot, or do not.
    """
    experts, active, over = config.experts, config.active_experts, config.d_sae % config.experts
    if over:
        near = [size for size in (config.d_sae - over, config.d_sae - over + experts) if size]
        raise UserError(
            f"experts = {experts} does not divide d_sae = {config.d_sae}: choose d_sae = "
            f"{' or '.join(map(str, near))}, or another number of experts"
        )
    if active > experts:
        raise UserError(f"active_experts = {active} is more than experts = {experts}: choose at most {experts}")
    room = active * config.d_sae // experts
    if config.kind != "global_mask" and config.k >= room:
        raise UserError(
            f"k = {config.k} leaves no choice among the {room} latents of {active} of {experts} experts "
            f"(d_sae = {config.d_sae}): choose k below {room}, fewer experts or a larger d_sae"
        )
