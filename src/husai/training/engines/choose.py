"""Which engine runs a configuration; the choice and its reason are recorded."""

from __future__ import annotations

from husai.saes.config import AnySAEConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.engine import Engine
from husai.training.engines.reference import ReferenceEngine


def choose(config: AnySAEConfig, training: TrainingConfig, coupling: Coupling | None = None) -> tuple[Engine, str]:
    """The engine for a configuration and why it was chosen."""
    why = "asked for" if training.engine == "reference" else "the only engine so far"
    return ReferenceEngine(config, training, coupling), why
