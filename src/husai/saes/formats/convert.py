"""Write an SAE as another tool's: exactly the same function or not at all, a whole folder or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from husai.errors import UserError, unknown
from husai.events import warn
from husai.saes.formats import dictionary_learning, husai_run, saelens, sparsify
from husai.saes.formats.load import Loaded, load_named
from husai.saes.formats.origin import Origin
from husai.saes.sae import SAE
from husai.saes.stack import SAEStack
from husai.store.files import disk_errors, make_folder, sync
from husai.store.layout import read_record


def _write_husai(sae: SAE, folder: Path, origin: Origin) -> None:
    """A stack of one seed; nothing is folded, and every architecture can be held."""
    parameters = {name: tensor.detach()[None] for name, tensor in sae.parameters.items()}
    seeds = (0 if origin.seed is None else origin.seed,)
    stack = SAEStack(sae.config, seeds, parameters, sae.mean_D, sae.factor, sae.hook_name)
    stack.save(folder / husai_run.STACK)


WRITERS: dict[str, Callable[[SAE, Path, Origin], None]] = {
    "saelens": saelens.write,
    "dictionary_learning": dictionary_learning.write,
    "sparsify": sparsify.write,
    "husai": _write_husai,
}


@dataclass(frozen=True)
class Converted:
    """What was read and what was written."""

    loaded: Loaded
    folder: Path
    tool: str
    files: tuple[str, ...]


def convert(sae: SAE, folder: Path, to: str, origin: Origin | None = None) -> Path:
    """Write `sae` into a new folder in the format of the tool `to`; returns the folder.

    A head takes no part in encoding and decoding: where a tool has no place for one, it stays behind, and that is said.

    Raises:
        UserError: unknown tool, something stands there already, the tool has no SAE that is the same function, or the
            disk says no. Nothing is left behind.
    """
    if to not in WRITERS:
        raise unknown("tool", to, WRITERS)
    if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"{folder} is there already: nothing is overwritten, choose another name")
    partial = folder.absolute().parent / f".partial-{folder.absolute().name}-{os.getpid()}"
    make_folder(partial)
    try:
        with torch.no_grad():
            WRITERS[to](sae, partial, origin or Origin(architecture=sae.config.kind))
        with disk_errors(folder):
            sync(partial)
            partial.replace(folder)
            sync(folder.absolute().parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if to != "husai" and sae.config.supervised is not None:
        warn(
            f"{to} has no place for a head: the SAE is the same, W_head and b_head stay behind (--to husai keeps them)"
        )
    return folder


def convert_path(source: str, folder: Path, to: str, seed: int | None = None) -> Converted:
    """`convert` for an SAE on disk, whichever tool wrote it.

    Raises:
        UserError: as `convert`; not readable, or several seeds are there and none was chosen.
    """
    if to not in WRITERS:
        raise unknown("tool", to, WRITERS)
    found = load_named(source, seed)
    if len(found) > 1:
        seeds = ", ".join(str(one.seed) for one in found)
        raise UserError(f"{source} holds {len(found)} seeds ({seeds}): choose one with --seed {found[0].seed}")
    run_id = read_record(found[0].run).id if found[0].run is not None else None
    convert(found[0].sae, folder, to, Origin(found[0].seed, run_id, found[0].sae.config.kind))
    files = tuple(sorted(path.name for path in folder.iterdir()))
    return Converted(found[0], folder, to, files)
