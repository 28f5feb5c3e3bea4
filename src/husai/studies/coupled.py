"""A coupling of the seeds of a stack: which, tied to what, in groups of how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from husai.errors import UserError
from husai.store.record import RunRecord
from husai.studies.node import Node
from husai.training.coupling.config import AnyCoupling

METRIC = "mcc_signed"
BETWEEN, WITHIN = f"{METRIC}.between_groups", f"{METRIC}.within_groups"
REFERENCE_SEEDS = (910_000,)  # of the SAE that a coupling ties to: none of those that are compared


def reference_seeds(groups: int) -> tuple[int, ...]:
    """Seeds of the references of so many groups, in order."""
    return tuple(REFERENCE_SEEDS[0] + group for group in range(groups))


@dataclass(frozen=True)
class Coupled:
    """A coupling, the node of the stack whose g-th SAE is the reference of group g, and the size of a group.

    Groups are consecutive seeds; without a size all seeds are one group. What is trained for T/2 and for T steps needs
    the same reference, or there is no trunk to go on from.
    """

    coupling: AnyCoupling
    reference: Node | None = None
    group_size: int | None = None

    def groups(self, seeds: Sequence[int]) -> int:
        """How many groups these seeds are.

        Raises:
            UserError: no whole number of them.
        """
        size = len(seeds) if self.group_size is None else self.group_size
        if size < 1 or len(seeds) % size:
            raise UserError(f"{len(seeds)} seeds cannot be divided into groups of {size}: change group_size or seeds")
        return len(seeds) // size

    def check(self, seeds: Sequence[int]) -> None:
        """Refuse what could not be trained, or would be no comparison.

        Raises:
            UserError: groups that do not fit, a reference that is missing, is not needed, has too few SAEs, or is one
                of the seeds.
        """
        kind, groups = self.coupling.kind, self.groups(seeds)
        if kind == "joint" and groups == len(seeds):
            raise UserError("the coupling joint needs at least two seeds in a group: change group_size or seeds")
        if self.coupling.needs_reference != (self.reference is not None):
            needs = "needs a reference" if self.coupling.needs_reference else "takes no reference"
            raise UserError(f"the coupling {kind} {needs}")
        if self.reference is not None:
            _check_references(self.reference.fields["seeds"], groups, seeds)


def _check_references(its: Sequence[int], groups: int, seeds: Sequence[int]) -> None:
    if len(its) < groups:
        raise UserError(f"{groups} groups need {groups} references, each its own: there are {len(its)}")
    if both := set(seeds) & set(its):
        raise UserError(f"seed {min(both)} is a reference as well: it would be compared with what it was drawn to")


def labels(seeds: int, group_size: int) -> list[int]:
    """The number of the group of each seed."""
    return [place // group_size for place in range(seeds)]


def which_decides(found: RunRecord) -> list[str]:
    """For the terminal: which of the numbers of a measured stack says something, where its seeds were in groups."""
    if "groups" not in found.facts:
        return []
    n = len(set(found.facts["groups"]))
    return [
        f"{BETWEEN} decides: {n} groups of seeds were trained apart. {METRIC} and what else is over all pairs holds "
        f"pairs of one group as well, and {WITHIN} nothing else: they were trained to agree, which is put in, not found"
    ]
