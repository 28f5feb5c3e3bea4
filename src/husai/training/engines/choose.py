"""Which engine runs a configuration; the choice and its reason are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from husai.activations.supply import LabelsAt
from husai.errors import UserError
from husai.saes.config import AnySAEConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.engine import Engine
from husai.training.engines.reference import ReferenceEngine

if TYPE_CHECKING:
    from husai.training.engines.cpu import CpuEngine
    from husai.training.engines.cuda import CudaEngine


def choose(
    config: AnySAEConfig, training: TrainingConfig, coupling: Coupling | None = None, labels_at: LabelsAt | None = None
) -> tuple[Engine, str]:
    """The engine for a configuration and why it was chosen; `engine.how` says how it computes.

    `labels_at` has the labels of each step's rows, for a head.

    Raises:
        UserError: as `which`.
    """
    name, why = which(config, training, coupling is not None)
    if name == "reference":
        return ReferenceEngine(config, training, coupling, labels_at), why
    made = FASTEST_FIRST[name][0]()
    assert not isinstance(made, str)
    return made(config, training, coupling), why


def which(config: AnySAEConfig, training: TrainingConfig, coupled: bool = False) -> tuple[str, str]:
    """Name of the engine for a configuration, with a coupling or without, and why.

    Raises:
        UserError: an engine was asked for by name that cannot run the configuration.
    """
    asked, refused = training.engine, ""
    if asked == "reference":
        return asked, "asked for"
    for name, (find, reason) in FASTEST_FIRST.items():
        if asked in ("auto", name):
            found = find()
            refused = found if isinstance(found, str) else found.refuses(config, coupled)
            if not refused:
                return name, "asked for" if asked == name else reason
    if asked != "auto":
        raise UserError(f"engine {asked} cannot run this: {refused}; leave training.engine at auto")
    return "reference", refused


def _cuda() -> type[CudaEngine] | str:
    """The engine, or why it is not to be had here."""
    import torch

    if not torch.cuda.is_available():
        return "torch finds no CUDA device here"
    try:
        from husai.training.engines.cuda import CudaEngine
    except ImportError as error:
        return f"triton cannot be imported ({error})"
    return CudaEngine


def _cpu() -> type[CpuEngine] | str:
    """The engine, or why it is not to be had here."""
    try:
        from husai.training.engines.cpu import CpuEngine
    except ImportError as error:
        return f"numba cannot be imported ({error})"
    return CpuEngine


FASTEST_FIRST = {"cuda": (_cuda, "sparse codes and a CUDA device"), "cpu": (_cpu, "sparse codes")}
