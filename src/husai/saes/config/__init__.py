"""What an SAE is, as values. Torch-free; `architecture(config)` in `registry.py` finds the code."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from husai.errors import UserError
from husai.saes.config.baselines import LinearConfig, PCAConfig, RandomConfig
from husai.saes.config.common import AuxKConfig, CommonConfig, DecoderNorm, Freeze, KConfig
from husai.saes.config.constrained import AlignedConfig, ArchetypalConfig
from husai.saes.config.penalised import GatedConfig, GBAConfig, JumpReluConfig, ReluL1Config
from husai.saes.config.selected import TopKConfig

AnySAEConfig = (
    TopKConfig
    | ReluL1Config
    | JumpReluConfig
    | GatedConfig
    | GBAConfig
    | ArchetypalConfig
    | AlignedConfig
    | LinearConfig
    | PCAConfig
    | RandomConfig
)
SAEConfig = Annotated[AnySAEConfig, Field(discriminator="kind")]

__all__ = [
    "AlignedConfig", "AnySAEConfig", "ArchetypalConfig", "AuxKConfig", "CommonConfig", "DecoderNorm", "Freeze",
    "GBAConfig", "GatedConfig", "JumpReluConfig", "KConfig", "LinearConfig", "PCAConfig", "RandomConfig",
    "ReluL1Config", "SAEConfig", "TopKConfig", "check_sizes", "k_label",
]  # fmt: skip


def check_sizes(config: AnySAEConfig, d_in: int) -> list[str]:
    """Whether the sizes can work on `d_in` dimensions; returns warnings.

    Raises:
        UserError: `k >= min(d_in, d_sae)`: such a code is not sparse (a k of 3,686 was once run on d_in = 1,024); more
            dead latents, groups or principal directions than there are.
    """
    if isinstance(config, AuxKConfig) and config.aux_k > config.d_sae:
        raise UserError(f"aux_k = {config.aux_k} is more than d_sae = {config.d_sae}: choose at most d_sae")
    if isinstance(config, PCAConfig) and config.d_sae > d_in:
        raise UserError(f"there are only d_in = {d_in} principal directions, not {config.d_sae}: lower d_sae")
    if isinstance(config, GBAConfig):
        return _check_groups(config)
    k = getattr(config, "k", None)
    return [] if k is None else _check_k(k, config.d_sae, d_in)


def _check_k(k: int, d_sae: int, d_in: int) -> list[str]:
    limit = min(d_in, d_sae)
    if k >= limit:
        raise UserError(
            f"k = {k} is not sparse for d_in = {d_in}, d_sae = {d_sae}: choose k below {limit}, "
            f"better below {max(1, limit // 2)}"
        )
    if 2 * k >= limit:
        return [f"k = {k} is half of min(d_in, d_sae) = {limit} or more: the code is hardly sparse"]
    return []


def _check_groups(config: GBAConfig) -> list[str]:
    if config.groups > config.d_sae:
        raise UserError(f"groups = {config.groups} is more than d_sae = {config.d_sae}: choose at most d_sae")
    expected = config.window * config.target * config.ratio ** (config.groups - 1)
    if expected < 1:
        return [f"the rarest group aims at {expected:.2g} firings in a window: raise window, or lower groups"]
    return []


def k_label(config: AnySAEConfig) -> str:
    """What stands for k in a run's name: its k, `na` where the architecture has none."""
    return str(getattr(config, "k", "na"))
