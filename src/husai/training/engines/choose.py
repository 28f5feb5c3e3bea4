"""Which engine runs a configuration; the choice and its reason are recorded."""

from __future__ import annotations

from husai.activations.supply import LabelsAt
from husai.errors import UserError
from husai.saes.config import AnySAEConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.engine import Engine
from husai.training.engines.reference import ReferenceEngine


def choose(
    config: AnySAEConfig, training: TrainingConfig, coupling: Coupling | None = None, labels_at: LabelsAt | None = None
) -> tuple[Engine, str]:
    """The engine for a configuration and why it was chosen; `engine.how` says how it computes.

    `labels_at` has the labels of each step's rows, for a head.

    Raises:
        UserError: an engine was asked for by name that cannot run the configuration.
    """
    asked, refused = training.engine, ""
    if asked == "reference":
        return ReferenceEngine(config, training, coupling, labels_at), "asked for"
    for name, (make, reason) in FASTEST_FIRST.items():
        if asked in ("auto", name):
            found = make(config, training, coupling)
            if not isinstance(found, str):
                return found, "asked for" if asked == name else reason
            refused = found
    if asked != "auto":
        raise UserError(f"engine {asked} cannot run this: {refused}; leave training.engine at auto")
    return ReferenceEngine(config, training, coupling, labels_at), refused


def _cuda(config: AnySAEConfig, training: TrainingConfig, coupling: Coupling | None) -> Engine | str:
    """The engine, or why it cannot run a configuration."""
    import torch

    if not torch.cuda.is_available():
        return "torch finds no CUDA device here"
    try:
        from husai.training.engines.cuda import CudaEngine
    except ImportError as error:
        return f"triton cannot be imported ({error})"
    return CudaEngine.refuses(config, coupling) or CudaEngine(config, training)


def _cpu(config: AnySAEConfig, training: TrainingConfig, coupling: Coupling | None) -> Engine | str:
    """The engine, or why it cannot run a configuration."""
    try:
        from husai.training.engines.cpu import CpuEngine
    except ImportError as error:
        return f"numba cannot be imported ({error})"
    return CpuEngine.refuses(config, coupling) or CpuEngine(config, training)


FASTEST_FIRST = {"cuda": (_cuda, "sparse codes and a CUDA device"), "cpu": (_cpu, "sparse codes")}
