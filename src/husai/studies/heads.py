"""Heads in studies: weight 0 is always in the sweep, and rows that carry no label are trained on without one.

A Gaussian twin has the mean and covariance of the rows and nothing else of them: no row of it has an answer. Its
matched control is therefore the same SAE with the head left out. The rows of a random-weight model carry the task's
labels, and keep the head: only there does a control show what labels do where nothing was learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from husai.activations.source import Source
from husai.saes.config import AnySAEConfig
from husai.training.config import TrainingConfig

LEFT_OUT = "without its head: these rows carry no label"


def check_heads(source: Source, arms: Sequence[tuple[str, AnySAEConfig, float | None]]) -> None:
    """`arms` are name, SAE, and the L0 asked for, if any.

    Raises:
        ValueError: a label that the source's rows do not carry, or of other classes; or a weight above 0 without the
            same arm at weight 0.
    """
    carried = _carried(source.plain())
    for name, sae, l0 in arms:
        if sae.supervised is None:
            continue
        label, classes = sae.supervised.label, sae.supervised.classes
        if carried != (label, classes):
            known = "no label" if carried is None else f"{carried[0]} of {carried[1]} classes"
            raise ValueError(f"{name}: its head reads {label} of {classes} classes, the rows will carry {known}")
        if sae.supervised.weight and not any((at_zero(sae), l0) == (other, of) for _, other, of in arms):
            raise ValueError(
                f"{name} has supervised.weight = {sae.supervised.weight:g}, and no arm is the same at weight 0: "
                "add one, or nothing shows what the labels did"
            )


def at_zero(sae: AnySAEConfig) -> AnySAEConfig:
    """The same with a head that moves nothing."""
    assert sae.supervised is not None
    return sae.model_copy(update={"supervised": sae.supervised.model_copy(update={"weight": 0.0})})


def on_rows(
    sae: AnySAEConfig, training: TrainingConfig, activations: dict[str, Any]
) -> tuple[AnySAEConfig, TrainingConfig, bool]:
    """An arm as it is trained on the rows of an activations node (its fields), and whether its head was left out.

    The engine stays the one that an arm with a head has: a control is not to differ in that as well.
    """
    if sae.supervised is None or _carried(activations["source"]) == (sae.supervised.label, sae.supervised.classes):
        return sae, training, False
    engine = training.model_copy(update={"engine": "reference"})
    return sae.model_copy(update={"supervised": None}), engine, True


def _carried(source: dict[str, Any]) -> tuple[str, int] | None:
    """The label of the rows of a source that is written down as a node's field, and its classes."""
    if source["kind"] == "captured":
        return "answer", source["task"]["p"]
    return ("largest", source["planted"]["n_features"]) if source["kind"] == "planted" else None


def alone_warning(sae: AnySAEConfig) -> list[str]:
    """What must be said of a weight above 0 wherever it stands by itself."""
    if sae.supervised is None or not sae.supervised.weight:
        return []
    weight = f"supervised.weight = {sae.supervised.weight:g}"
    return [f"{weight}: what the labels did shows only beside the same SAE at weight 0"]


def left_out(saes: Iterable[AnySAEConfig]) -> list[str]:
    """What must be said of controls where some arms have heads."""
    if all(sae.supervised is None for sae in saes):
        return []
    return [
        "rows of a Gaussian twin carry no label: SAEs with a head were trained on it without the head, so that arms "
        "which differ in supervised alone are one and the same SAE there; what labels do by themselves, only "
        "random-weight models control for"
    ]
