"""What is known of each row beside its numbers: a label of few classes, and whether it may be learned from.

<folder>/labels-<name>.safetensors      labels [N] int32, -1 where a row has none; test [N] uint8

A label marked `test` belongs to a row that the task itself held out: nothing may be trained on it, whichever rows an
SAE is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from husai.activations.manifest import LabelFile, Manifest
from husai.errors import UserError
from husai.store.files import sha256
from husai.store.tensors import load_arrays, save_arrays

UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class RowLabels:
    """`labels_N` int64 from 0 to `classes - 1`, or -1; `test_N` bool, rows whose label is for measuring only.

    Raises:
        UserError: another shape, or a label that is not one of the classes.
    """

    name: str
    classes: int
    labels_N: np.ndarray
    test_N: np.ndarray

    def __post_init__(self) -> None:
        if self.labels_N.ndim != 1 or self.labels_N.shape != self.test_N.shape:
            raise UserError(f"label {self.name}: one label and one mark a row, not {self.labels_N.shape} labels")
        if self.labels_N.size and not UNLABELLED <= self.labels_N.min() <= self.labels_N.max() < self.classes:
            raise UserError(f"label {self.name}: labels must be from 0 to {self.classes - 1}, or -1 for none")

    def learnable(self, rows_n: np.ndarray) -> np.ndarray:
        """Labels [N] that may be learned from when training has the rows `rows_n`; -1 everywhere else."""
        found = np.full(len(self.labels_N), UNLABELLED, dtype=np.int64)
        allowed = rows_n[~self.test_N[rows_n]]
        found[allowed] = self.labels_N[allowed]
        return found


def write_labels(folder: Path, labels: RowLabels) -> LabelFile:
    """Write the file, and give what the manifest says of it."""
    path = folder / f"labels-{labels.name}.safetensors"
    save_arrays(path, {"labels": labels.labels_N.astype(np.int32), "test": labels.test_N.astype(np.uint8)})
    known = labels.labels_N != UNLABELLED
    return LabelFile(
        name=labels.name,
        file=path.name,
        classes=labels.classes,
        labelled=int(known.sum()),
        test=int((known & labels.test_N).sum()),
        sha256=sha256(path),
    )


def read_labels(folder: Path, manifest: Manifest, name: str) -> RowLabels:
    """The labels of all rows.

    Raises:
        UserError: the rows carry no label of that name; the file is missing, damaged or was changed.
    """
    entry = next((entry for entry in manifest.labels if entry.name == name), None)
    if entry is None:
        carried = ", ".join(entry.name for entry in manifest.labels) or "none"
        raise UserError(
            f"these rows carry no label '{name}' (carried: {carried}): {manifest.origin.description}; "
            "capture rows of a task, or train without a head (--set sae.supervised=null)"
        )
    path = folder / entry.file
    arrays = load_arrays(path)
    if sha256(path) != entry.sha256:
        raise UserError(f"{path} was changed after it was written (its SHA-256 disagrees): make the activations again")
    labels = RowLabels(name, entry.classes, arrays["labels"].astype(np.int64), arrays["test"].astype(bool))
    if len(labels.labels_N) != manifest.n_rows:
        raise UserError(f"{path} has {len(labels.labels_N)} labels for {manifest.n_rows} rows: make it again")
    return labels
