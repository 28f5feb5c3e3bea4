"""The rows that existing SAEs are measured on: a folder of husai or a file; held-out rows where they are known.

SAEs that husai trained on these very rows are measured on what their training held out, as their study did. Of other
SAEs nobody knows which rows they have seen, and the answer says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from husai.activations.cache import ActivationCache
from husai.activations.external import ExternalFile, import_file
from husai.activations.guards import describe_rows
from husai.activations.manifest import MANIFEST, read_manifest
from husai.errors import UserError
from husai.saes.formats.load import Loaded
from husai.seeds import Role, generator
from husai.store.index import Results
from husai.store.layout import read_record
from husai.store.record import RunRecord
from husai.studies.nodes.activations import ROWS
from husai.studies.nodes.rows import open_rows
from husai.training.config import TrainingConfig
from husai.training.coupling.config import ties

MOST_ROWS = 65_536
SEED_LEVELS, STACK_LEVELS = 3, 2  # folders between a run folder and the results folder


@dataclass(frozen=True)
class GivenRows:
    """Rows x [N, D] in the units of the activations; `words` as in `360 held-out rows`, `note` what they are.

    `own` is whether the SAEs were trained on the other rows of the same activations.
    """

    x_ND: Tensor
    words: str
    note: str
    cache: ActivationCache
    own: bool


@dataclass(frozen=True)
class Training:
    """How husai trained an SAE: on which folder of activations, with which settings, root seed and coupling."""

    rows: Path
    config: TrainingConfig
    root_seed: int
    coupling: str = ""


@contextmanager
def opened(path: Path, key: str | None, d_in: int) -> Iterator[ActivationCache]:
    """Activations of width `d_in`: a folder of `husai capture`, or a file, which is read into a temporary folder.

    Raises:
        UserError: neither, not finished, or of another width.
    """
    if path.is_file():
        with tempfile.TemporaryDirectory(prefix="husai-") as folder:
            yield import_file(ExternalFile(path=path, key=key, d_in=d_in), Path(folder) / ROWS)
        return
    if not path.exists():
        raise UserError(f"{path} does not exist: give a file of activations, or a folder that husai capture made")
    place = next((p for p in (path / ROWS, path) if (p / MANIFEST).is_file()), None)
    if place is None:
        raise UserError(f"{path} is not a finished folder of activations: give one that husai capture made, or a file")
    cache = ActivationCache(place)
    if cache.d_in != d_in:
        raise UserError(f"the activations in {path} have d_in = {cache.d_in}, the SAEs d_in = {d_in}: give their own")
    yield cache


def rows_for(cache: ActivationCache, loaded: Sequence[Loaded], most: int) -> GivenRows:
    """The held-out rows of the SAEs' own training where they have one in common, else all; at most `most`, drawn."""
    index, kind, note = _chosen(cache, loaded)
    n = len(index)
    if n > most:
        drawn = generator(0, Role.EVALUATION, "existing", n).choice(n, size=most, replace=False)
        index, kind = index[np.sort(drawn)], f"{kind} (drawn from {n}; --rows takes more)"
    x = torch.from_numpy(cache.rows(index))
    what = describe_rows(cache.manifest)
    return GivenRows(x, f"{len(index)} {kind}", f"{what}; {note}", cache, own=kind.startswith("held-out"))


def _chosen(cache: ActivationCache, loaded: Sequence[Loaded]) -> tuple[np.ndarray, str, str]:
    """Row numbers, what they are called, and what the SAEs have seen of them."""
    everything = np.arange(len(cache))
    trainings = [training_of(one) for one in loaded]
    here = [t for t in trainings if t is not None and _same_rows(t, cache)]
    if len(here) < len(loaded):
        some = f"{len(here)} of {len(loaded)} SAEs were trained on them"
        return everything, "rows", some if here else "whether the SAEs saw them in training is not known"
    splits = {(t.config.held_out, t.root_seed) for t in here}
    if len(splits) == 1 and here[0].config.held_out > 0:
        rows = open_rows(here[0].rows, here[0].config, here[0].root_seed)
        return rows.held_out_index, "held-out rows", "the SAEs were trained on the others"
    return everything, "rows", "the SAEs were trained on them: explained variance flatters"


def training_of(one: Loaded) -> Training | None:
    """How husai trained an SAE, as far as the records beside it say; None for any other."""
    if one.run is None:
        return None
    try:
        record, levels = read_record(one.run), SEED_LEVELS
        if record.kind == "stack":
            levels = STACK_LEVELS
        results = Results(one.run.resolve().parents[levels - 1])
        stack = record if record.kind == "stack" else _stack(record, results)
        folder = results.node_folder("activations", stack.parents["activations"])
        coupling = str(stack.config.get("coupling", {}).get("kind", ""))
        config = TrainingConfig.parse(stack.config["training"])
        return Training(folder, config, int(stack.config["root_seed"]), coupling)
    except (UserError, KeyError):  # moved away from its results folder, or written by another version
        return None


def coupled(loaded: Sequence[Loaded]) -> list[str]:
    """What must be said where husai trained some of the SAEs with a coupling: agreement that was put in."""
    names = sorted({t.coupling for one in loaded if (t := training_of(one)) is not None and t.coupling})
    return [
        f"SAEs were trained with the coupling {name}, which ties them {ties(name)}: their agreement is partly put "
        "in, not found"
        for name in names
    ]


def _stack(record: RunRecord, results: Results) -> RunRecord:
    return read_record(results.node_folder("stack", record.parents["stack"]))


def _same_rows(training: Training, cache: ActivationCache) -> bool:
    try:
        return read_manifest(training.rows / ROWS).rows_sha256 == cache.manifest.rows_sha256
    except UserError:
        return False
