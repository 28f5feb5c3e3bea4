"""What an SAE is, as values. Torch-free; `architecture(config)` in `registry.py` finds the code."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from husai.saes.config.baselines import LinearConfig, PCAConfig, RandomConfig
from husai.saes.config.common import AuxKConfig, CommonConfig, DecoderNorm, Freeze, KConfig
from husai.saes.config.constrained import AlignedConfig, ArchetypalConfig
from husai.saes.config.hooked import JacobianConfig, RouteConfig, SkipTranscoderConfig, TranscoderConfig
from husai.saes.config.penalised import GatedConfig, GBAConfig, JumpReluConfig, ReluL1Config
from husai.saes.config.routed import ExpertTopKConfig, GlobalMaskConfig, RoutedConfig, SwitchConfig
from husai.saes.config.selected import (
    AbsTopKConfig,
    BatchSelectConfig,
    BatchTopKConfig,
    HierarchicalTopKConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
    TopKConfig,
)
from husai.saes.config.supervised import SupervisedConfig

Selected = (
    TopKConfig | AbsTopKConfig | BatchTopKConfig | MatryoshkaConfig | HierarchicalTopKConfig | MatchingPursuitConfig
)
Penalised = ReluL1Config | JumpReluConfig | GatedConfig | GBAConfig
Constrained = ArchetypalConfig | AlignedConfig
Routed = SwitchConfig | ExpertTopKConfig | GlobalMaskConfig
Hooked = TranscoderConfig | SkipTranscoderConfig | RouteConfig | JacobianConfig
Baseline = LinearConfig | PCAConfig | RandomConfig
AnySAEConfig = Selected | Penalised | Constrained | Routed | Hooked | Baseline
SAEConfig = Annotated[AnySAEConfig, Field(discriminator="kind")]

__all__ = [
    "AbsTopKConfig",
    "AlignedConfig",
    "AnySAEConfig",
    "ArchetypalConfig",
    "AuxKConfig",
    "Baseline",
    "BatchSelectConfig",
    "BatchTopKConfig",
    "CommonConfig",
    "Constrained",
    "DecoderNorm",
    "ExpertTopKConfig",
    "Freeze",
    "GBAConfig",
    "GatedConfig",
    "GlobalMaskConfig",
    "HierarchicalTopKConfig",
    "Hooked",
    "JacobianConfig",
    "JumpReluConfig",
    "KConfig",
    "LinearConfig",
    "MatchingPursuitConfig",
    "MatryoshkaConfig",
    "PCAConfig",
    "Penalised",
    "RandomConfig",
    "ReluL1Config",
    "RouteConfig",
    "Routed",
    "RoutedConfig",
    "SAEConfig",
    "Selected",
    "SkipTranscoderConfig",
    "SupervisedConfig",
    "SwitchConfig",
    "TopKConfig",
    "TranscoderConfig",
    "k_label",
]


def k_label(config: AnySAEConfig) -> str:
    """What stands for k in a run's name: its k, `na` where the architecture has none."""
    k = getattr(config, "k", None)
    return "na" if k is None else f"{k:.4g}"
