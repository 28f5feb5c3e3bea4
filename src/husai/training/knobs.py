"""The knob of each architecture: which field moves L0, which way, and where a search begins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from husai.errors import Refused
from husai.saes.config import AnySAEConfig
from husai.saes.registry import architecture

EXACT = (
    "topk", "abstopk", "hierarchical_topk", "archetypal", "aligned", "switch", "expert_topk", "transcoder",
    "skip_transcoder", "route", "random",
)  # fmt: skip  # every row has k active latents, if so many are positive


@dataclass(frozen=True)
class Knob:
    """How a field moves L0. `start` guesses its value from a config and the L0 wanted, `highest` bounds it."""

    rises: bool
    start: Callable[[Any, float], float]
    whole: bool = False
    highest: Callable[[Any, int], float] = lambda config, d_in: math.inf


def _below_limit(config: Any, d_in: int) -> float:
    return min(d_in, config.d_sae) - 1


SEARCHED = {
    "batchtopk": Knob(True, lambda config, l0: l0, highest=_below_limit),
    "matryoshka": Knob(True, lambda config, l0: l0, highest=_below_limit),
    "matching_pursuit": Knob(True, lambda config, l0: l0, whole=True, highest=_below_limit),
    "global_mask": Knob(
        True, lambda config, l0: l0 * config.experts / config.active_experts, whole=True, highest=_below_limit
    ),
    "relu_l1": Knob(False, lambda config, l0: config.l1 or 1.0),
    "gated": Knob(False, lambda config, l0: config.l1 or 1.0),
    "jumprelu": Knob(True, lambda config, l0: l0),
    "gba": Knob(True, lambda config, l0: min(1.0, 2.5 * l0 / config.d_sae), highest=lambda config, d_in: 1.0),
}


def with_value(config: AnySAEConfig, value: float) -> AnySAEConfig:
    """The config with its knob at a value, checked as if it had been written so."""
    name = architecture(config).knob
    whole = name == "k" and config.kind not in ("batchtopk", "matryoshka")
    return type(config).parse(config.plain() | {name: int(value) if whole else float(value)}, config.kind)


def at_l0(config: AnySAEConfig, l0: float) -> AnySAEConfig | None:
    """The config with this L0 where its knob is L0 itself; None where it takes a search.

    Raises:
        Refused: nothing moves the L0 of this architecture.
        UserError: a fraction, where a whole number of latents is active.
    """
    if config.kind in EXACT:
        return type(config).parse(config.plain() | {"k": int(l0) if l0 == int(l0) else l0}, config.kind)
    if config.kind not in SEARCHED:
        raise Refused(f"nothing moves the L0 of {config.kind}: take it as it comes, unmatched")
    return None
