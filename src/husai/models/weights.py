"""Models on disk: one safetensors file with the config as metadata. Never a pickle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from husai.config import canonical_json
from husai.errors import UserError
from husai.models.config import TransformerConfig
from husai.models.transformer import Transformer
from husai.store.tensors import Arrays, load_arrays, read_metadata, save_arrays

FORMAT = "husai.model/1"


def save_model(path: Path, model: Transformer) -> Path:
    """Write weights and config; equal models give equal bytes."""
    return save_arrays(path, model_arrays(model), {"format": FORMAT, "config": canonical_json(model.config.plain())})


def load_model(path: Path) -> Transformer:
    """Read a model on the CPU whose outputs equal those of the one that was saved.

    Raises:
        UserError: missing, truncated, not a husai model, or with weights that do not fit its config.
    """
    arrays, metadata = load_arrays(path), read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} is not a model of husai (format {FORMAT}): give a file that save_model wrote")
    model = Transformer(TransformerConfig.parse(_json(path, metadata), f"{path} config"), stream=0)
    fill(model, arrays, path)
    return model


def model_arrays(model: torch.nn.Module) -> Arrays:
    """Copies of every parameter, by name."""
    return {name: p.detach().cpu().numpy().copy() for name, p in model.named_parameters()}


def fill(model: torch.nn.Module, arrays: Arrays, path: Path) -> None:
    """Set every parameter from `arrays`.

    Raises:
        UserError: a tensor is missing, extra, of the wrong shape or type, or not finite.
    """
    parameters = dict(model.named_parameters())
    odd = sorted(parameters.keys() ^ arrays.keys())
    if odd:
        raise UserError(
            f"{path}: tensor '{odd[0]}' is {'missing' if odd[0] in parameters else 'not part of the model'}"
        )
    for name, parameter in parameters.items():
        array = arrays[name]
        if array.shape != tuple(parameter.shape) or array.dtype != np.float32:
            wanted = f"{tuple(parameter.shape)} float32"
            raise UserError(f"{path}: tensor '{name}' is {array.shape} {array.dtype}, the model needs {wanted}")
        if not np.isfinite(array).all():
            raise UserError(f"{path}: tensor '{name}' holds values that are not finite")
        with torch.no_grad():
            parameter.copy_(torch.tensor(array))


def _json(path: Path, metadata: dict[str, str]) -> object:
    try:
        return json.loads(metadata.get("config", ""))
    except json.JSONDecodeError:
        raise UserError(f"{path}: its config is not readable as JSON: make the file again") from None
