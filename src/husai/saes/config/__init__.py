"""What an SAE is, as values. Torch-free; `architecture(config)` in `registry.py` finds the code."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from husai.errors import UserError
from husai.saes.config.common import AuxKConfig, CommonConfig, DecoderNorm, Freeze
from husai.saes.config.hooked import JacobianConfig, RouteConfig, SkipTranscoderConfig, TranscoderConfig
from husai.saes.config.penalised import JumpReluConfig, ReluL1Config
from husai.saes.config.selected import TopKConfig

Selected = TopKConfig
Penalised = ReluL1Config | JumpReluConfig
Hooked = TranscoderConfig | SkipTranscoderConfig | RouteConfig | JacobianConfig
AnySAEConfig = Selected | Penalised | Hooked
SAEConfig = Annotated[AnySAEConfig, Field(discriminator="kind")]

__all__ = [
    "AnySAEConfig",
    "AuxKConfig",
    "CommonConfig",
    "DecoderNorm",
    "Freeze",
    "JacobianConfig",
    "JumpReluConfig",
    "ReluL1Config",
    "RouteConfig",
    "SAEConfig",
    "SkipTranscoderConfig",
    "TopKConfig",
    "TranscoderConfig",
    "check_sizes",
    "k_label",
]


def check_sizes(config: AnySAEConfig, d_in: int) -> list[str]:
    """Whether the sizes can work on rows of `d_in` columns (of all hooks); returns warnings.

    Raises:
        UserError: `k >= min(d_in, d_sae)`: such a code is not sparse (a k of 3,686 was once run on d_in = 1,024).
    """
    if isinstance(config, AuxKConfig) and config.aux_k > config.d_sae:
        raise UserError(f"aux_k = {config.aux_k} is more than d_sae = {config.d_sae}: choose at most d_sae")
    d_in, d_sae = _of_one_code(config, d_in)
    k = getattr(config, "k", None)
    if k is None:
        return []
    limit = min(d_in, d_sae)
    if k >= limit:
        raise UserError(
            f"k = {k} is not sparse for d_in = {d_in}, d_sae = {d_sae}: choose k below {limit}, "
            f"better below {max(1, limit // 2)}"
        )
    if 2 * k >= limit:
        return [f"k = {k} is half of min(d_in, d_sae) = {limit} or more: the code is hardly sparse"]
    return []


def _of_one_code(config: AnySAEConfig, width: int) -> tuple[int, int]:
    """(d_in, d_sae) among which a code chooses, for rows of `width` columns."""
    if isinstance(config, TranscoderConfig):
        d_in, d_out = config.widths(width)
        if min(d_in, d_out) < 1:
            raise UserError(f"d_out = {d_out} leaves {d_in} columns to read: capture two hooks, or lower d_out")
        return d_in, config.d_sae
    parts = config.layers if isinstance(config, RouteConfig) else 2 if isinstance(config, JacobianConfig) else 1
    if width % parts:
        raise UserError(f"{config.kind} reads {parts} hooks of one width, but a row has {width} columns: capture those")
    return width // parts, config.d_sae // 2 if isinstance(config, JacobianConfig) else config.d_sae


def k_label(config: AnySAEConfig) -> str:
    """What stands for k in a run's name: its k, `na` where the architecture has none."""
    return str(getattr(config, "k", "na"))
