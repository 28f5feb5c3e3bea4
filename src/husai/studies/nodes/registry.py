"""From a node's kind to its code."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from husai.errors import unknown
from husai.studies.node import Outcome, Work

KINDS = {
    "model": "husai.studies.nodes.model",
    "activations": "husai.studies.nodes.activations",
    "calibrate": "husai.studies.nodes.calibrate",
    "stack": "husai.studies.nodes.stack",
    "saelens_stack": "husai.studies.nodes.saelens_stack",
    "measure": "husai.studies.nodes.measure",
    "levels": "husai.studies.nodes.levels",
    "projection": "husai.studies.nodes.projection",
    "splice": "husai.studies.nodes.splice",
    "fourier": "husai.studies.nodes.fourier",
    "reading": "husai.studies.nodes.reading",
}
# Their code goes on from checkpoints in its folder; every other kind starts over in an empty one.
RESUMING = {"model", "calibrate", "stack"}


def node_code(kind: str) -> Callable[[Work], Outcome]:
    """The function that computes nodes of a kind.

    Raises:
        UserError: unknown kind.
    """
    if kind not in KINDS:
        raise unknown("kind of node", kind, KINDS)
    return import_module(KINDS[kind]).run
