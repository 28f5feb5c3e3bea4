"""From a config's `kind` to the code of its architecture."""

from __future__ import annotations

from typing import Any

from husai.errors import unknown
from husai.saes.architecture import Architecture
from husai.saes.config import AnySAEConfig
from husai.saes.jumprelu import JumpRelu
from husai.saes.relu_l1 import ReluL1
from husai.saes.topk import TopK

ARCHITECTURES: dict[str, Architecture[Any]] = {"topk": TopK(), "relu_l1": ReluL1(), "jumprelu": JumpRelu()}


def architecture(config: AnySAEConfig) -> Architecture[Any]:
    """The architecture of a config.

    Raises:
        UserError: a kind without code.
    """
    if config.kind not in ARCHITECTURES:
        raise unknown("architecture", config.kind, ARCHITECTURES)
    return ARCHITECTURES[config.kind]
