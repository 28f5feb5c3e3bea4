"""Everything that a training needs to go on bit for bit: parameters, Adam moments, counters, history, snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.config import AnySAEConfig
from husai.saes.controls import torch_generator
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.seeds import Role
from husai.store.tensors import load_arrays, read_metadata, save_arrays
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling

CHOICE = "choice."


@dataclass
class TrainState:
    """State after `step` steps; tensors carry a leading seed axis.

    `history` maps a term's name to {step: values per seed}; `snapshots` maps a step to W_dec [S, F, O]; `choices` are
    what an engine chose by measuring: they change bits, so they go where the state goes. `held` is what a coupling
    keeps between steps.
    """

    parameters: Parameters
    m: Parameters
    v: Parameters
    last_fired_SF: Tensor
    step: int = 0
    history: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    snapshots: dict[int, np.ndarray] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    held: Parameters = field(default_factory=dict)

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return self.last_fired_SF.shape[0]

    def log(self, terms: list[dict[str, float]]) -> None:
        """Note the loss terms of the current step, one dict per seed."""
        for name in {n for seed_terms in terms for n in seed_terms}:
            values = np.array([seed_terms.get(name, np.nan) for seed_terms in terms], dtype=np.float64)
            self.history.setdefault(name, {})[self.step] = values


RowsOf = Callable[[int], Tensor]  # of a seed: scaled rows [N, D] that no other seed of the stack starts from


def start(
    config: AnySAEConfig,
    training: TrainingConfig,
    d_in: int,
    seeds: tuple[int, ...],
    root: int,
    rows_of: RowsOf | None = None,
    context: Parameters | None = None,
    coupling: Coupling | None = None,
) -> TrainState:
    """State at step 0. Seeds share their initialisation when `sae_init` is not among the varied streams.

    They share what a coupling puts into all of them, too.

    Raises:
        UserError: the architecture starts from rows, and none are given; or it needs to know what its rows passed
            through (`context`), and this is not given, or of another shape.
    """
    arch = architecture(config)
    if arch.needs_rows and rows_of is None:
        raise UserError(f"{config.kind} starts from rows of the data: give `rows_of`")
    parameters = {name: torch.empty(len(seeds), *shape) for name, shape in arch.shapes(config, d_in).items()}
    for place, seed in enumerate(seeds):
        index = (seed,) if Role.SAE_INIT in training.vary else ()
        rows_ND = rows_of(seed) if arch.needs_rows and rows_of is not None else None
        for name, tensor in arch.init(config, d_in, torch_generator(root, Role.SAE_INIT, *index), rows_ND).items():
            parameters[name][place] = tensor
    _fill(parameters, arch.context, context or {}, config.kind)
    if coupling is not None:
        coupling.start_(parameters)
    zeros = {name: torch.zeros_like(t) for name, t in parameters.items()}
    last = torch.zeros(len(seeds), config.d_sae, dtype=torch.int64)
    begin = {0: parameters["W_dec"].numpy().copy()} if config.freeze == "soft_decoder" else {}  # it is held near it
    return TrainState(parameters, zeros, {name: t.clone() for name, t in zeros.items()}, last, snapshots=begin)


def _fill(parameters: Parameters, names: tuple[str, ...], context: Parameters, kind: str) -> None:
    for name in names:
        if name not in context:
            raise UserError(f"{kind} needs {name}, which comes with the rows of an MLP's input and output hooks")
        if context[name].shape != parameters[name].shape[1:]:
            found, expected = list(context[name].shape), list(parameters[name].shape[1:])
            raise UserError(f"{name} has shape {found}, {kind} expects {expected}: set its sizes to those of the model")
        parameters[name].copy_(context[name].expand_as(parameters[name]))


def save_state(path: Path, state: TrainState, identity: str) -> Path:
    """Write a checkpoint; `identity` says of what it is, so that it is never resumed as something else."""
    arrays: dict[str, np.ndarray] = {"step": np.array([state.step]), "last_fired": state.last_fired_SF.numpy()}
    for prefix, tensors in (("p", state.parameters), ("m", state.m), ("v", state.v), ("held", state.held)):
        arrays |= {f"{prefix}.{name}": t.detach().numpy() for name, t in tensors.items()}
    for name, rows in state.history.items():
        arrays[f"history.{name}.steps"] = np.array(sorted(rows))
        arrays[f"history.{name}.values"] = np.stack([rows[s] for s in sorted(rows)])
    arrays |= {f"snapshot.{step}": W for step, W in state.snapshots.items()}
    choices = {CHOICE + name: choice for name, choice in state.choices.items()}
    return save_arrays(path, arrays, {"format": "husai.state/1", "identity": identity, **choices})


def load_state(path: Path, identity: str) -> TrainState:
    """Read a checkpoint.

    Raises:
        UserError: truncated, or a checkpoint of something else.
    """
    meta = read_metadata(path)
    if meta.get("identity") != identity:
        raise UserError(f"{path} is a checkpoint of another training: remove it, or give it its own folder")
    arrays = load_arrays(path)
    groups: dict[str, Parameters] = {"p": {}, "m": {}, "v": {}, "held": {}}
    history: dict[str, dict[int, np.ndarray]] = {}
    snapshots: dict[int, np.ndarray] = {}
    for name, array in arrays.items():
        prefix, _, rest = name.partition(".")
        if prefix in groups:
            groups[prefix][rest] = torch.from_numpy(array)
        elif prefix == "snapshot":
            snapshots[int(rest)] = array
        elif prefix == "history" and rest.endswith(".steps"):
            term = rest.removesuffix(".steps")
            values = arrays[f"history.{term}.values"]
            history[term] = {int(step): values[i] for i, step in enumerate(array)}
    last = torch.from_numpy(arrays["last_fired"])
    choices = {name.removeprefix(CHOICE): choice for name, choice in meta.items() if name.startswith(CHOICE)}
    step, notes = int(arrays["step"][0]), (history, snapshots, choices)
    return TrainState(groups["p"], groups["m"], groups["v"], last, step, *notes, groups["held"])
