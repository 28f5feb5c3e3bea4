"""Every architecture in one line: what it is, where it is from, how it is coded, on which engine, trained or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from husai.saes.config import AnySAEConfig
from husai.saes.registry import ARCHITECTURES
from husai.training.engines.coding import coding

BASELINES = ("linear", "pca", "random")
FROZEN = {
    "decoder": "decoder rows stay as they were drawn",
    "soft_decoder": "decoder rows stay within cosine .8 of their start",
    "encoder": "the encoder stays as it was drawn",
}


@dataclass(frozen=True)
class Entry:
    """One architecture; `why` says why it is left to the reference engine, where it is; `knob` moves its L0."""

    kind: str
    summary: str
    source: str
    codes: str
    engine: str
    why: str
    role: str
    knob: str


def catalogue() -> list[Entry]:
    """All of them, in the order of the registry, then the controls that freeze a part of any of them."""
    configs = {config.model_fields["kind"].default: config for config in get_args(AnySAEConfig)}
    found = []
    for kind, arch in ARCHITECTURES.items():
        kernels = coding(configs[kind]())
        why = kernels if isinstance(kernels, str) else ""
        role = "baseline" if kind in BASELINES else "trainable"
        codes, engine = "sparse" if arch.sparse else "dense", "reference" if why else "cpu"
        found.append(Entry(kind, arch.summary, arch.source, codes, engine, why, role, arch.knob))
    return found + [_frozen(part, text) for part, text in FROZEN.items()]


def _frozen(part: str, text: str) -> Entry:
    return Entry(
        f"freeze={part}", f"control, any of them: {text}", "arXiv 2602.14111", "any", "any", "", "baseline", ""
    )
