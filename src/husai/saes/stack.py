"""`SAEStack`: SAEs of S seeds trained together; `stack[i]` is a single `SAE`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from husai.errors import UserError
from husai.saes.config import AnySAEConfig, SAEConfig
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.store.tensors import load_arrays, read_metadata, save_arrays

_CONFIG: TypeAdapter[AnySAEConfig] = TypeAdapter(SAEConfig)


@dataclass
class SAEStack:
    """Parameters with a leading seed axis: W_enc [S,F,D], b_enc [S,F], W_dec [S,F,O], b_dec [S,O], extras [S,...].

    `seeds` are the numbers of the seeds, in the order of the axis; `mean_D` and `factor` scale the input of all.
    """

    config: AnySAEConfig
    seeds: tuple[int, ...]
    parameters: Parameters
    mean_D: Tensor
    factor: float | Tensor
    hook_name: str = ""

    def __len__(self) -> int:
        """Number of seeds."""
        return len(self.seeds)

    def __getitem__(self, index: int) -> SAE:
        """The SAE at position `index`; its tensors are views of the stack's."""
        return SAE(self.config, self.of(index), self.mean_D, self.factor, self.hook_name)

    def of(self, index: int) -> Parameters:
        """Views of one seed's parameters."""
        return {name: tensor[index] for name, tensor in self.parameters.items()}

    def save(self, path: Path) -> Path:
        """Write one safetensors file with the config in its metadata."""
        arrays = {name: tensor.detach().numpy() for name, tensor in self.parameters.items()}
        arrays |= {
            "scaling.mean": self.mean_D.numpy(),
            "scaling.factor": np.atleast_1d(np.asarray(self.factor, np.float64)),
        }
        meta = {
            "format": "husai.stack/1",
            "config": json.dumps(self.config.plain(), sort_keys=True),
            "seeds": json.dumps(self.seeds),
            "hook_name": self.hook_name,
        }
        return save_arrays(path, arrays, meta)

    def single(self, index: int) -> SAEStack:
        """A stack of one seed, copied."""
        parameters = {name: tensor[index : index + 1].clone() for name, tensor in self.parameters.items()}
        return SAEStack(self.config, (self.seeds[index],), parameters, self.mean_D, self.factor, self.hook_name)


def load_stack(path: Path) -> SAEStack:
    """Read a stack.

    Raises:
        UserError: not a stack of husai, truncated, a tensor missing, of the wrong shape, or not finite.
    """
    meta = read_metadata(path)
    if meta.get("format") != "husai.stack/1":
        raise UserError(f"{path} is not a husai stack (no format mark in its metadata): give the file a run wrote")
    arrays = load_arrays(path)
    config = _read_config(path, meta)
    seeds = _read_seeds(path, meta)
    mean, factor = _read_scaling(path, arrays)
    _check(path, config, len(seeds), mean.shape[0], arrays)
    parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
    number = float(factor[0]) if factor.size == 1 else torch.from_numpy(factor.astype(np.float32))
    return SAEStack(config, seeds, parameters, torch.from_numpy(mean), number, meta.get("hook_name", ""))


def _read_seeds(path: Path, meta: dict[str, str]) -> tuple[int, ...]:
    try:
        seeds = json.loads(meta.get("seeds", ""))
    except (ValueError, RecursionError):
        seeds = None
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise UserError(f"{path}: the seeds in its metadata are not readable")
    return tuple(seeds)


def _read_scaling(path: Path, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    mean, factor = arrays.pop("scaling.mean", None), arrays.pop("scaling.factor", None)
    if mean is None or factor is None:
        raise UserError(f"{path}: the scaling is missing; it was changed after it was written")
    fits = mean.ndim == factor.ndim == 1 and factor.size in (1, mean.size) and mean.dtype == np.float32
    if not fits or factor.dtype != np.float64 or not np.isfinite(mean).all() or not np.isfinite(factor).all():
        raise UserError(f"{path}: scaling.mean and scaling.factor are not finite numbers for each column")
    return mean, factor


def _read_config(path: Path, meta: dict[str, str]) -> AnySAEConfig:
    try:
        return _CONFIG.validate_json(meta.get("config", ""))
    except ValueError:
        raise UserError(f"{path}: the architecture in its metadata is not readable") from None


def _check(path: Path, config: AnySAEConfig, seeds: int, d_in: int, arrays: dict[str, np.ndarray]) -> None:
    shapes = architecture(config).shapes(config, d_in)
    if odd := sorted(shapes.keys() ^ arrays.keys()):
        what = "is missing" if odd[0] in shapes else f"does not belong to {config.kind}"
        raise UserError(f"{path}: tensor {odd[0]} {what}")
    for name, array in arrays.items():
        if array.shape != (seeds, *shapes[name]):
            raise UserError(f"{path}: {name} has shape {array.shape}, expected {(seeds, *shapes[name])}")
        if array.dtype != np.float32:
            raise UserError(f"{path}: {name} holds {array.dtype}, not float32")
        if not np.isfinite(array).all():
            raise UserError(f"{path}: {name} holds NaN or infinite values")
