"""Load an SAE from a folder or file, whichever tool wrote it: a table of readers is asked whose it is.

`path#3` means seed 3 where one folder holds several seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from husai.errors import UserError
from husai.saes.formats import dictionary_learning, gemma_scope, husai_run, saelens, sparsify
from husai.saes.sae import SAE
from husai.store.layout import RECORD

SHOWN = 4  # names of files in a message


@dataclass(frozen=True)
class Reader:
    """One tool: what its folders look like in words, whether a path is one of them, and how an SAE is read from it.

    `read_seeds` is for a format that holds several seeds, by their numbers; `read` then reads the only one.
    """

    tool: str
    looks_like: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], SAE]
    read_seeds: Callable[[Path], dict[int, SAE]] | None = None


# Asked in this order; the first that recognises a path reads it.
READERS: tuple[Reader, ...] = (
    Reader("husai", husai_run.LOOKS_LIKE, husai_run.recognises, husai_run.read, husai_run.read_seeds),
    Reader("SAELens", saelens.LOOKS_LIKE, saelens.recognises, saelens.read),
    Reader(
        "dictionary_learning", dictionary_learning.LOOKS_LIKE, dictionary_learning.recognises, dictionary_learning.read
    ),
    Reader("sparsify", sparsify.LOOKS_LIKE, sparsify.recognises, sparsify.read),
    Reader("Gemma Scope", gemma_scope.LOOKS_LIKE, gemma_scope.recognises, gemma_scope.read),
)


@dataclass(frozen=True)
class Loaded:
    """An SAE and where it came from; `seed` where the format numbers them, `run` the husai folder with its record."""

    sae: SAE
    name: str
    path: Path
    tool: str
    seed: int | None = None
    run: Path | None = None


def load(path: str | Path, seed: int | None = None) -> SAE:
    """One SAE. Where the path holds several seeds, `seed` or `path#seed` chooses.

    Raises:
        UserError: nothing there, no known tool wrote it, it is damaged, or it holds several seeds and none was chosen.
    """
    found = load_named(path, seed)
    if len(found) > 1:
        seeds = ", ".join(str(one.seed) for one in found)
        raise UserError(f"{path} holds {len(found)} seeds ({seeds}): choose one, as {path}#{found[0].seed} or by seed=")
    return found[0].sae


def load_all(path: str | Path) -> list[SAE]:
    """Every SAE that is there: all seeds of a stack of husai.

    Raises:
        UserError: as `load`.
    """
    return [one.sae for one in load_named(path)]


def load_named(path: str | Path, seed: int | None = None) -> list[Loaded]:
    """`load_all` with names and origins; only the chosen one where a seed is chosen.

    Raises:
        UserError: as `load`.
    """
    place, written = _split(str(path))
    chosen = written if seed is None else seed
    reader = _reader(place)
    if reader.read_seeds is None:
        if chosen is not None:
            raise UserError(f"{place} holds one SAE ({reader.tool}): leave out the seed {chosen}")
        return [Loaded(_checked(reader.read(place), place), place.resolve().name, place, reader.tool)]
    seeds = reader.read_seeds(place)
    if chosen is not None and chosen not in seeds:
        raise UserError(f"{place} holds no seed {chosen}: there are {', '.join(map(str, seeds))}")
    wanted = seeds if chosen is None else {chosen: seeds[chosen]}
    run = husai_run.run_folder(place)
    title = (run or place).resolve().name
    names = {n: f"{title}#{n}" if len(seeds) > 1 else title for n in seeds}
    return [Loaded(_checked(sae, place), names[n], place, reader.tool, n, run) for n, sae in wanted.items()]


def _split(text: str) -> tuple[Path, int | None]:
    """`path#3` as path and seed; a path that is there as it is written is taken as it is."""
    head, mark, tail = text.rpartition("#")
    if not mark or Path(text).exists():
        return Path(text), None
    if not tail.isdecimal():
        raise UserError(f"{text}: after # comes the number of a seed, as in {head}#0")
    return Path(head), int(tail)


def _reader(path: Path) -> Reader:
    if not path.exists():
        raise UserError(f"{path} does not exist: give the folder or file of an SAE")
    found = next((reader for reader in READERS if reader.recognises(path)), None)
    if found is None:
        known = "; ".join(f"{reader.tool} ({reader.looks_like})" for reader in READERS)
        raise UserError(f"{path} is no SAE that husai can read: {_held(path)}. Known: {known}")
    return found


def _held(path: Path) -> str:
    """What was found there, and where the SAEs are if they lie one level below."""
    if not path.is_dir():
        return "it is a file of another kind"
    below = sorted(p for p in path.iterdir() if p.is_dir() and any(r.recognises(p) for r in READERS))
    runs = [p for p in below if not (p / RECORD).is_file() or (p / husai_run.SEED).is_file()]
    if runs:
        return f"it is a folder of {len(runs)} of them; give these, for example {runs[0]}"
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in path.iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"it holds {', '.join(names[:SHOWN])}{more}" if names else "it is empty"


def _checked(sae: SAE, path: Path) -> SAE:
    """No reader hands out an SAE with holes in it."""
    for name, tensor in sae.parameters.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} holds NaN or infinite values: the file is damaged")
    return sae
