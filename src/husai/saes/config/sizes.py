"""Whether the sizes of a config can work on rows of a width. Torch-free."""

from __future__ import annotations

from husai.errors import UserError
from husai.saes.config import (
    AnySAEConfig,
    AuxKConfig,
    GBAConfig,
    JacobianConfig,
    PCAConfig,
    RouteConfig,
    Routed,
    TranscoderConfig,
)


def check_sizes(config: AnySAEConfig, width: int) -> list[str]:
    """Whether the sizes can work on rows of `width` columns (of all hooks); returns warnings.

    Raises:
        UserError: `k >= min(d_in, d_sae)`: such a code is not sparse (a k of 3,686 was once run on d_in = 1,024);
            `aux_k` above d_sae; experts that do not fit d_sae and k; hooks that do not fit the row; more groups or
            principal directions than there are.
    """
    if isinstance(config, AuxKConfig) and config.aux_k > config.d_sae:
        raise UserError(f"aux_k = {config.aux_k} is more than d_sae = {config.d_sae}: choose at most d_sae")
    if isinstance(config, Routed):
        _check_experts(config)
    if isinstance(config, PCAConfig) and config.d_sae > width:
        raise UserError(f"there are only d_in = {width} principal directions, not {config.d_sae}: lower d_sae")
    if isinstance(config, GBAConfig):
        return _check_groups(config)
    d_in, d_sae = _of_one_code(config, width)
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


def _check_groups(config: GBAConfig) -> list[str]:
    if config.groups > config.d_sae:
        raise UserError(f"groups = {config.groups} is more than d_sae = {config.d_sae}: choose at most d_sae")
    expected = config.window * config.target * config.ratio ** (config.groups - 1)
    if expected < 1:
        return [f"the rarest group aims at {expected:.2g} firings in a window: raise window, or lower groups"]
    return []


def _of_one_code(config: AnySAEConfig, width: int) -> tuple[int, int]:
    """(d_in, d_sae) among which a code chooses, for rows of `width` columns."""
    if isinstance(config, TranscoderConfig):
        if config.activation != "topk":
            raise UserError(f"activation = {config.activation}: husai trains transcoders with topk alone; leave it out")
        d_in, d_out = config.widths(width)
        if min(d_in, d_out) < 1:
            raise UserError(f"d_out = {d_out} leaves {d_in} columns to read: capture two hooks, or lower d_out")
        return d_in, config.d_sae
    parts = config.layers if isinstance(config, RouteConfig) else 2 if isinstance(config, JacobianConfig) else 1
    if width % parts:
        raise UserError(f"{config.kind} reads {parts} hooks of one width, but a row has {width} columns: capture those")
    return width // parts, config.d_sae // 2 if isinstance(config, JacobianConfig) else config.d_sae


def _check_experts(config: Routed) -> None:
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
