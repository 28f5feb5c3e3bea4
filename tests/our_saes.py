"""SAEs of husai of every architecture with random parameters, and of every option that changes what they compute."""

from __future__ import annotations

from typing import Any, get_args

import torch

from husai.saes.config import (
    AbsTopKConfig,
    AlignedConfig,
    AnySAEConfig,
    ArchetypalConfig,
    BatchTopKConfig,
    ExpertTopKConfig,
    GatedConfig,
    GBAConfig,
    GlobalMaskConfig,
    HierarchicalTopKConfig,
    JacobianConfig,
    JumpReluConfig,
    LinearConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
    PCAConfig,
    RandomConfig,
    ReluL1Config,
    RouteConfig,
    SkipTranscoderConfig,
    SwitchConfig,
    TopKConfig,
    TranscoderConfig,
)
from husai.saes.registry import architecture
from husai.saes.sae import SAE

D, F, K = 6, 12, 3
BUFFERS = {"threshold_batches": 9.0}


def _options() -> dict[str, tuple[AnySAEConfig, int]]:
    """Config and width of a row, by name."""
    one: list[AnySAEConfig] = [
        *(TopKConfig(d_sae=F, k=K, subtract_b_dec=s) for s in (True, False)),
        *(AbsTopKConfig(d_sae=F, k=K, subtract_b_dec=s) for s in (True, False)),
        *(BatchTopKConfig(d_sae=F, k=K, subtract_b_dec=s) for s in (True, False)),
        *(MatryoshkaConfig(d_sae=F, k=K, prefixes=(3, F), subtract_b_dec=s) for s in (True, False)),
        *(ReluL1Config(d_sae=F, decoder_norm="free", subtract_b_dec=s) for s in (True, False)),
        *(GatedConfig(d_sae=F, subtract_b_dec=s) for s in (True, False)),
        *(JumpReluConfig(d_sae=F, subtract_b_dec=s, threshold_as=t) for s in (True, False) for t in ("log", "value")),
        HierarchicalTopKConfig(d_sae=F, k=K),
        AlignedConfig(d_sae=F, k=K),
        ArchetypalConfig(d_sae=F, k=K, n_centroids=5),
        RandomConfig(d_sae=F, k=K),
        GBAConfig(d_sae=F),
        LinearConfig(d_sae=F),
        PCAConfig(d_sae=4),
        MatchingPursuitConfig(d_sae=F, k=K),
        SwitchConfig(d_sae=F, k=2),
        ExpertTopKConfig(d_sae=F, k=K, active_experts=2),
        GlobalMaskConfig(d_sae=F, k=K),
    ]
    wide: list[tuple[AnySAEConfig, int]] = [
        *(
            (kind(d_sae=F, k=K, d_out=o, activation=a), D + o)  # type: ignore[arg-type]
            for kind in (TranscoderConfig, SkipTranscoderConfig)
            for a in ("topk", "relu", "jumprelu")
            for o in (4, D)
        ),
        (RouteConfig(d_sae=F, k=K, layers=2), 2 * D),
        (JacobianConfig(d_sae=F, k=K, d_mlp=7), 2 * D),
    ]
    return {_name(config): (config, width) for config, width in [*((c, D) for c in one), *wide]}


def _name(config: Any) -> str:
    parts = [config.kind]
    parts += [str(getattr(config, name)) for name in ("activation", "d_out") if hasattr(config, "d_out")]
    parts += [] if config.subtract_b_dec or hasattr(config, "d_out") else ["uncentred"]
    return "-".join([*parts, *(["value"] if getattr(config, "threshold_as", "") == "value" else [])])


OPTIONS = _options()
HOOKED = ("transcoder", "skip_transcoder", "route", "jsae")  # rows hold several hooks
OWN: dict[str, dict[str, Any]] = {
    "pca": {"d_sae": 5},
    "archetypal": {"n_centroids": 17},
    "expert_topk": {"active_experts": 2},
    "global_mask": {"active_experts": 2},
    "route": {"layers": 2},
    "jsae": {"d_mlp": 7},
}


def of_every_kind(d_sae: int, k: int, *left_out: str, **options: object) -> list[AnySAEConfig]:
    """One config of every kind but those left out; each takes of the options what it has."""
    made = []
    for kind in get_args(AnySAEConfig):
        name = kind.model_fields["kind"].default
        asked = {"d_sae": d_sae, "k": k} | options | OWN.get(name, {})
        if name not in left_out:
            made.append(kind(**{field: value for field, value in asked.items() if field in kind.model_fields}))
    return made


def random_sae(name: str, seed: int = 0) -> SAE:
    """Random parameters, norms, biases and thresholds; scaled input, as training leaves it."""
    config, width = OPTIONS[name]
    generator = torch.Generator().manual_seed(seed)
    p = {}
    for key, shape in architecture(config).shapes(config, width).items():
        drawn = torch.randn(shape, generator=generator) * 0.7
        p[key] = (
            drawn.abs() * 0.6
            if key.endswith("threshold")
            else drawn.new_full(shape, BUFFERS.get(key, 0))
            if key in BUFFERS
            else drawn
        )
    if config.kind == "matching_pursuit":
        p["W_enc"], p["b_enc"] = p["W_dec"].clone(), torch.zeros(F)
    if "log_threshold" in p:
        p["log_threshold"] = torch.randn(F, generator=generator) - 1
    factor: Any = 1.7 if width == D else torch.linspace(0.5, 2, width)
    return SAE(config, p, torch.randn(width, generator=generator), factor, "blocks.0.hook_resid_post")


def rows(n: int = 500, seed: int = 1) -> torch.Tensor:
    """Rows [n, D] around some mean."""
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)) * 1.5 + 0.3
