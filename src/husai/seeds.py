"""One root seed; every use takes its own stream, derived by hashing the *name* of the use.

Two roles can never share a stream (a generator and an SAE that both started from seed 0 once "recovered" the truth).
"""

from __future__ import annotations

import hashlib
import operator
from enum import StrEnum

import numpy as np


class Role(StrEnum):
    """What randomness is used for. Which roles vary between "seeds" is a field of the study."""

    MODEL_INIT = "model_init"
    MODEL_BATCHES = "model_batches"
    DATA_SPLIT = "data_split"
    DATA_SUBSET = "data_subset"
    PLANTED_DICTIONARY = "planted_dictionary"
    PLANTED_CODES = "planted_codes"
    SURROGATE = "surrogate"
    SAE_INIT = "sae_init"
    BATCH_ORDER = "batch_order"
    AUXILIARY = "auxiliary"
    CONTROL = "control"
    EVALUATION = "evaluation"
    BOOTSTRAP = "bootstrap"
    FLOOR = "floor"


def derive(root: int, role: Role, *index: int | str) -> int:
    """63-bit seed of one stream: SHA-256 of root, role and index (e.g. the seed's number in a stack)."""
    name = "/".join(["husai", str(int(root)), Role(role).value, *(_part(i) for i in index)])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def _part(index: int | str) -> str:
    """One part of a name: no two lists of indices make the same name, and any integer type counts as its value."""
    if isinstance(index, str):
        return "str:" + index.replace("\\", "\\\\").replace("/", "\\/")
    return f"int:{operator.index(index)}"


def generator(root: int, role: Role, *index: int | str) -> np.random.Generator:
    """NumPy generator (Philox, counter-based) of one stream."""
    return np.random.Generator(np.random.Philox(derive(root, role, *index)))
