"""Identity of a node: the hash of what makes its numbers, and of nothing else."""

from __future__ import annotations

from typing import Any

from husai.config import content_hash

# Raised when the code of a node kind changes what it computes, so that old results are not taken for new ones.
VERSIONS: dict[str, int] = {"model": 2, "activations": 2, "measure": 3, "splice": 2, "fourier": 2}


def node_id(kind: str, fields: dict[str, Any]) -> str:
    """16 hex digits of the hash of kind, its version and its scientific fields (parents' ids among them).

    The engine belongs to the fields, since it changes bits; place, date and number of processes do not. Every node is
    computed with one thread.
    """
    return content_hash({"kind": kind, "version": VERSIONS.get(kind, 1), "fields": fields})[:16]
