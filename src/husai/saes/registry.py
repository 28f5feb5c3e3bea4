"""From a config's `kind` to the code of its architecture."""

from __future__ import annotations

from typing import Any

from husai.errors import unknown
from husai.saes.abstopk import ABSTOPK
from husai.saes.aligned import ALIGNED
from husai.saes.archetypal import ARCHETYPAL
from husai.saes.architecture import Architecture
from husai.saes.batchtopk import BATCHTOPK
from husai.saes.config import AnySAEConfig
from husai.saes.expert_topk import EXPERT_TOPK
from husai.saes.gated import GATED
from husai.saes.gba import GBA
from husai.saes.global_mask import GLOBAL_MASK
from husai.saes.hierarchical_topk import HIERARCHICAL_TOPK
from husai.saes.jsae import JSAE
from husai.saes.jumprelu import JUMPRELU
from husai.saes.linear import LINEAR
from husai.saes.matching_pursuit import MATCHING_PURSUIT
from husai.saes.matryoshka import MATRYOSHKA
from husai.saes.pca import PCA
from husai.saes.random import RANDOM
from husai.saes.relu_l1 import RELU_L1
from husai.saes.route import ROUTE
from husai.saes.supervised import with_head
from husai.saes.switch import SWITCH
from husai.saes.topk import TOPK
from husai.saes.transcoder import SKIP_TRANSCODER, TRANSCODER

ARCHITECTURES: dict[str, Architecture[Any]] = {
    "topk": TOPK,
    "abstopk": ABSTOPK,
    "batchtopk": BATCHTOPK,
    "matryoshka": MATRYOSHKA,
    "hierarchical_topk": HIERARCHICAL_TOPK,
    "matching_pursuit": MATCHING_PURSUIT,
    "aligned": ALIGNED,
    "archetypal": ARCHETYPAL,
    "relu_l1": RELU_L1,
    "gated": GATED,
    "jumprelu": JUMPRELU,
    "gba": GBA,
    "switch": SWITCH,
    "expert_topk": EXPERT_TOPK,
    "global_mask": GLOBAL_MASK,
    "transcoder": TRANSCODER,
    "skip_transcoder": SKIP_TRANSCODER,
    "route": ROUTE,
    "jsae": JSAE,
    "linear": LINEAR,
    "pca": PCA,
    "random": RANDOM,
}


def architecture(config: AnySAEConfig) -> Architecture[Any]:
    """The architecture of a config, with a head beside it where the config asks for one.

    Raises:
        UserError: a kind without code.
    """
    if config.kind not in ARCHITECTURES:
        raise unknown("architecture", config.kind, ARCHITECTURES)
    found = ARCHITECTURES[config.kind]
    return found if config.supervised is None else with_head(found)
