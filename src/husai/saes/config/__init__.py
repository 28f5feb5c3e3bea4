"""What an SAE is, as values. Torch-free; `architecture(config)` in `registry.py` finds the code."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from husai.errors import UserError
from husai.saes.config.common import AuxKConfig, CommonConfig, DecoderNorm, Freeze
from husai.saes.config.penalised import JumpReluConfig, ReluL1Config
from husai.saes.config.selected import (
    AbsTopKConfig,
    BatchTopKConfig,
    HierarchicalTopKConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
    TopKConfig,
)

AnySAEConfig = (
    TopKConfig
    | AbsTopKConfig
    | BatchTopKConfig
    | MatryoshkaConfig
    | HierarchicalTopKConfig
    | MatchingPursuitConfig
    | ReluL1Config
    | JumpReluConfig
)
SAEConfig = Annotated[AnySAEConfig, Field(discriminator="kind")]

__all__ = [
    "AbsTopKConfig", "AnySAEConfig", "AuxKConfig", "BatchTopKConfig", "CommonConfig", "DecoderNorm", "Freeze",
    "HierarchicalTopKConfig", "JumpReluConfig", "MatchingPursuitConfig", "MatryoshkaConfig", "ReluL1Config",
    "SAEConfig", "TopKConfig", "check_sizes", "k_label",
]  # fmt: skip


def check_sizes(config: AnySAEConfig, d_in: int) -> list[str]:
    """Whether the sizes can work on `d_in` dimensions; returns warnings.

    Raises:
        UserError: `k >= min(d_in, d_sae)`: such a code is not sparse (a k of 3,686 was once run on d_in = 1,024).
    """
    if isinstance(config, AuxKConfig) and config.aux_k > config.d_sae:
        raise UserError(f"aux_k = {config.aux_k} is more than d_sae = {config.d_sae}: choose at most d_sae")
    k = getattr(config, "k", None)
    if k is None:
        return []
    limit = min(d_in, config.d_sae)
    if k >= limit:
        raise UserError(
            f"k = {k} is not sparse for d_in = {d_in}, d_sae = {config.d_sae}: choose k below {limit}, "
            f"better below {max(1, limit // 2)}"
        )
    if 2 * k >= limit:
        return [f"k = {k} is half of min(d_in, d_sae) = {limit} or more: the code is hardly sparse"]
    return []


def k_label(config: AnySAEConfig) -> str:
    """What stands for k in a run's name: its k, `na` where the architecture has none."""
    return str(getattr(config, "k", "na"))
