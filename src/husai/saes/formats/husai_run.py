"""What husai itself wrote: a `stack.safetensors`, the folder of a stack, the run folder of one trained seed."""

from __future__ import annotations

from pathlib import Path

from husai.errors import UserError
from husai.saes.sae import SAE
from husai.saes.stack import load_stack
from husai.store.layout import RECORD, read_record
from husai.store.tensors import read_metadata

STACK, SEED = "stack.safetensors", "checkpoints/sae.safetensors"
FORMAT = "husai.stack/1"
LOOKS_LIKE = f"a folder with {STACK} or {SEED}"


def recognises(path: Path) -> bool:
    """Whether husai wrote this: a run folder of whatever kind, a folder with a stack in it, or a stack's file."""
    if path.is_dir():
        return any((path / name).is_file() for name in (STACK, SEED, RECORD))
    return path.name == STACK or (path.suffix == ".safetensors" and _marked(path))


def read(path: Path) -> SAE:
    """The only SAE that is there.

    Raises:
        UserError: several seeds, or as `read_seeds`.
    """
    found = read_seeds(path)
    if len(found) != 1:
        raise UserError(f"{path} holds {len(found)} seeds: choose one")
    return next(iter(found.values()))


def read_seeds(path: Path) -> dict[int, SAE]:
    """Every SAE that is there, by the number of its seed.

    Raises:
        UserError: a run of another kind, a study's folder, or a file that is damaged.
    """
    stack = load_stack(_file(path))
    return {seed: stack[position] for position, seed in enumerate(stack.seeds)}


def run_folder(path: Path) -> Path | None:
    """The run folder that an SAE belongs to, for its record; None for a file on its own."""
    folder = path if path.is_dir() else path.parent
    places = (folder, folder.parent) if folder.name == "checkpoints" else (folder,)
    return next((place for place in places if (place / RECORD).is_file()), None)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = next((path / name for name in (STACK, SEED) if (path / name).is_file()), None)
    if found is None:
        kind = read_record(path).kind
        raise UserError(f"{path} is a run of kind '{kind}', which holds no SAE: give a stack, or the folder of a seed")
    return found


def _marked(path: Path) -> bool:
    try:
        return read_metadata(path).get("format") == FORMAT
    except UserError:  # damaged, or not safetensors: another tool may know it
        return False
