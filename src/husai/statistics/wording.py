"""Words about what was varied, so that a sentence never claims more than the study did.

"Reproducible" with the same data in the same order says that the initialisation varied, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from husai.errors import unknown
from husai.seeds import Role

NAMES: dict[Role, str] = {
    Role.MODEL_INIT: "the model's initialisation",
    Role.MODEL_BATCHES: "the order of the model's training data",
    Role.DATA_SPLIT: "the data split",
    Role.DATA_SUBSET: "the data (disjoint rows)",
    Role.PLANTED_DICTIONARY: "the planted dictionary",
    Role.PLANTED_CODES: "the planted codes",
    Role.SURROGATE: "the surrogate's draw",
    Role.SAE_INIT: "the SAE initialisation",
    Role.BATCH_ORDER: "the batch order",
    Role.AUXILIARY: "the auxiliary draws",
    Role.CONTROL: "the control's draw",
    Role.EVALUATION: "the evaluation rows",
    Role.BOOTSTRAP: "the resampling",
    Role.FLOOR: "the floor's draws",
}
DATA = {Role.DATA_SUBSET, Role.DATA_SPLIT, Role.PLANTED_DICTIONARY, Role.PLANTED_CODES, Role.SURROGATE}
TRAINING = DATA | {Role.MODEL_INIT, Role.MODEL_BATCHES, Role.SAE_INIT, Role.BATCH_ORDER, Role.AUXILIARY}


def what_varied(roles: Iterable[Role | str]) -> str:
    """One clause that lists the random streams that differed between seeds, and what that does not test.

    Raises:
        UserError: a role that does not exist.
    """
    varied = _roles(roles)
    if not TRAINING.intersection(varied):
        return "nothing in training varied between the seeds: they are copies, and their agreement says nothing"
    clause = f"{_join([NAMES[role] for role in varied])} varied between the seeds"
    same = _same(set(varied))
    return f"{clause}; {same}" if same else clause


def over(roles: Iterable[Role | str], of: str = "this checkpoint") -> str:
    """The scope of a verdict, e.g. `for this checkpoint, over these initialisations`."""
    varied = set(_roles(roles))
    units = [
        word
        for role, word in (
            (Role.SAE_INIT, "initialisations"),
            (Role.BATCH_ORDER, "batch orders"),
            (Role.DATA_SUBSET, "disjoint data sets"),
        )
        if role in varied
    ]
    model = "for these models" if Role.MODEL_INIT in varied else f"for {of}"
    return f"{model}, over these {_join(units)}" if units else model


def _same(varied: set[Role]) -> str:
    if varied & (DATA | {Role.MODEL_INIT, Role.MODEL_BATCHES}):
        return ""
    if Role.BATCH_ORDER in varied:
        return "the data were the same, so stability over other data was not tested"
    if varied == {Role.SAE_INIT}:
        return "data and order were the same, so this tests the initialisation only"
    return "data and order were the same"


def _roles(roles: Iterable[Role | str]) -> list[Role]:
    given = list(roles)
    for role in given:
        if role not in list(Role):
            raise unknown("random stream", str(role), [r.value for r in Role])
    named = {Role(role) for role in given}
    return [role for role in NAMES if role in named]


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
