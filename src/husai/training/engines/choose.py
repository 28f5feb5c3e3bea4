"""Which engine runs a configuration; the choice and its reason are recorded."""

from __future__ import annotations

from husai.errors import UserError
from husai.saes.config import AnySAEConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.engine import Engine
from husai.training.engines.reference import ReferenceEngine


def choose(config: AnySAEConfig, training: TrainingConfig, coupling: Coupling | None = None) -> tuple[Engine, str]:
    """The engine for a configuration and why it was chosen.

    Raises:
        UserError: an engine was asked for by name that cannot run the configuration.
    """
    if training.engine == "reference":
        return ReferenceEngine(config, training, coupling), "asked for"
    refused = _cpu_refuses(config, coupling)
    if not refused:
        from husai.training.engines.cpu import CpuEngine

        engine = CpuEngine(config, training)
        return engine, f"{'asked for' if training.engine == 'cpu' else 'sparse codes'}; {engine.how}"
    if training.engine == "cpu":
        raise UserError(f"engine cpu cannot run this: {refused}; leave training.engine at auto")
    return ReferenceEngine(config, training, coupling), refused


def _cpu_refuses(config: AnySAEConfig, coupling: Coupling | None) -> str:
    """Why the engine `cpu` cannot run a configuration; empty when it can."""
    try:
        from husai.training.engines.cpu import CpuEngine
    except ImportError as error:
        return f"numba cannot be imported ({error})"
    return CpuEngine.refuses(config, coupling)
