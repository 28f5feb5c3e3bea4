"""The labels of a head's rows: those it may learn from, those it is measured on, and whether they are worth a fit.

Learned from are labels of rows on the training side of the SAE and of the task: the label of a row that either holds
out reaches no training. Measured on are the labels of the rows that the SAE's training held out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from husai.activations.labels import UNLABELLED
from husai.errors import UserError
from husai.saes.config import SupervisedConfig
from husai.studies.nodes.rows import Rows

WITHOUT = "or train without a head (--set sae.supervised=null)"


@dataclass(frozen=True, eq=False)
class HeadLabels:
    """`learned_N`: what training may see, -1 elsewhere. Of the held-out rows `measured_H`, and `test_H`: which of them
    the task holds out as well, so that neither the model nor the head was trained on their label."""

    name: str
    learned_N: np.ndarray
    measured_H: np.ndarray
    test_H: np.ndarray

    @property
    def majority(self) -> float:
        """Share of the commonest label on the held-out rows that have one: no constant answer is right more often."""
        counts = np.bincount(self.measured_H[self.measured_H != UNLABELLED])
        return float(counts.max() / counts.sum())

    def facts(self) -> dict[str, object]:
        """What was learned from, for the record."""
        learned = self.learned_N[self.learned_N != UNLABELLED]
        return {
            "label": self.name,
            "learned_rows": len(learned),
            "learned_classes": len(np.unique(learned)),
            "measured_rows": int((self.measured_H != UNLABELLED).sum()),
            "measured_rows_of_the_task_held_out": int(self.test_H.sum()),
        }


def head_labels(rows: Rows, head: SupervisedConfig) -> HeadLabels:
    """Labels for a head on these rows.

    Raises:
        UserError: the rows carry no such label, or of another number of classes; no rows are held out; or one side has
            fewer than two classes, where every answer would be right.
    """
    if rows.held_out_index is rows.train_index:
        raise UserError(
            "a head is measured on rows that it has not learned from, and none are held out: "
            f"set training.held_out, {WITHOUT}"
        )
    labels = rows.cache.labels(head.label)
    if labels.classes != head.classes:
        raise UserError(
            f"label {head.label} has {labels.classes} classes on these rows, not {head.classes}: "
            f"set sae.supervised.classes={labels.classes}"
        )
    measured_H = labels.labels_N[rows.held_out_index]
    test_H = labels.test_N[rows.held_out_index] & (measured_H != UNLABELLED)
    found = HeadLabels(head.label, labels.learnable(rows.train_index), measured_H, test_H)
    for side, values in (("learned from", found.learned_N), ("held out", found.measured_H)):
        classes = len(np.unique(values[values != UNLABELLED]))
        if classes < 2:
            what = "every row has the same label" if classes else "no row has a label"
            raise UserError(f"label {head.label}: of the rows {side}, {what}: choose another label, {WITHOUT}")
    return found
