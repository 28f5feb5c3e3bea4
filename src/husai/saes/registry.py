"""From a config's `kind` to the code of its architecture."""

from __future__ import annotations

from typing import Any

from husai.errors import unknown
from husai.saes.aligned import ALIGNED
from husai.saes.archetypal import ARCHETYPAL
from husai.saes.architecture import Architecture
from husai.saes.config import AnySAEConfig
from husai.saes.gated import GATED
from husai.saes.gba import GBA
from husai.saes.jumprelu import JUMPRELU
from husai.saes.linear import LINEAR
from husai.saes.pca import PCA
from husai.saes.random import RANDOM
from husai.saes.relu_l1 import RELU_L1
from husai.saes.topk import TOPK

ARCHITECTURES: dict[str, Architecture[Any]] = {
    "topk": TOPK,
    "relu_l1": RELU_L1,
    "jumprelu": JUMPRELU,
    "gated": GATED,
    "gba": GBA,
    "archetypal": ARCHETYPAL,
    "aligned": ALIGNED,
    "linear": LINEAR,
    "pca": PCA,
    "random": RANDOM,
}


def architecture(config: AnySAEConfig) -> Architecture[Any]:
    """The architecture of a config.

    Raises:
        UserError: a kind without code.
    """
    if config.kind not in ARCHITECTURES:
        raise unknown("architecture", config.kind, ARCHITECTURES)
    return ARCHITECTURES[config.kind]
