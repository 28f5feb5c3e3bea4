"""What can be known to be wrong before anything runs: a hook that is not there, sizes that cannot work, a lost file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from husai.activations.capture import chosen_positions
from husai.activations.guards import require_real
from husai.activations.manifest import read_manifest
from husai.activations.source import (
    CapturedSource,
    ExternalSource,
    FolderSource,
    PlantedSource,
    Source,
    SurrogateSource,
)
from husai.errors import UserError
from husai.models.hooks import capture, find_hook
from husai.saes.config.sizes import check_sizes
from husai.statistics.estimate import MIN_UNITS
from husai.studies.plan import given_folder
from husai.studies.study import Study


def check_study(study: Study) -> list[str]:
    """Refuse now what would otherwise fail after the model has been trained; returns warnings.

    Raises:
        UserError: unknown hook (with the nearest), a position or file that does not exist, or a k that is not sparse.
    """
    sources = [study.target] if study.positive is None else [study.target, study.positive]
    widths = [d_in for d_in in map(width, sources) if d_in is not None]
    found = [f"{arm.name}: {text}" for d_in in widths for arm in study.arms for text in check_sizes(arm.sae, d_in)]
    return list(dict.fromkeys([*found, *_too_few(study)]))


def _too_few(study: Study) -> list[str]:
    """What makes a verdict impossible from the start."""
    found = (
        [f"{study.seeds} seeds: below {MIN_UNITS} there is no interval and no verdict"]
        if study.seeds < MIN_UNITS
        else []
    )
    models = study.controls.random_models
    if study.has_model and 0 < models < MIN_UNITS:
        found.append(f"{models} random-weight models: below {MIN_UNITS} there is no interval and no verdict")
    return found


def width(source: Source) -> int | None:
    """d_in of a source before anything ran; None for a user's file that does not declare it.

    Raises:
        UserError: as `check_study`.
    """
    if isinstance(source, CapturedSource):
        return _captured_width(source)
    if isinstance(source, PlantedSource):
        return source.planted.d_in
    if isinstance(source, SurrogateSource):
        return width(source.of)
    if isinstance(source, FolderSource):
        return _folder_width(source)
    return _declared_width(source)


def _folder_width(source: FolderSource) -> int:
    given = given_folder(Path(source.path)).given
    assert given is not None
    manifest = read_manifest(given / "rows")
    require_real(manifest, source.synthetic_kinds)
    return manifest.d_in


def _declared_width(source: ExternalSource) -> int | None:
    if not Path(source.path).is_file():
        raise UserError(f"{source.path} does not exist, or is not a file: give a .npy, .safetensors or .pt file")
    return source.d_in


def _captured_width(source: CapturedSource) -> int:
    """From one row through an untrained model of the same shape."""
    task = source.task.build()
    chosen_positions(task, source.positions)
    model = source.model.fitted(task).build(0)
    for hook in source.hooks:
        find_hook(model, hook)
    with torch.inference_mode(), capture(model, list(source.hooks)) as found:
        model(torch.tensor(task.tokens_NT[:1]))
    return sum(_width(hook, found[hook].shape) for hook in source.hooks)


def _width(hook: str, shape: Sequence[int]) -> int:
    if len(shape) != 3:
        raise UserError(f"hook {hook} gives {list(shape)}: an SAE reads [batch, position, width]; choose another hook")
    return int(shape[-1])
