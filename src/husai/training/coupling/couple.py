"""From a coupling's config, and what each group of seeds is tied to, to the coupling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from husai.errors import UserError
from husai.saes.config import AnySAEConfig
from husai.saes.parameters import unit_rows
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.training.coupling.alignment import Alignment
from husai.training.coupling.assignment import Assignment
from husai.training.coupling.config import (
    AlignmentConfig,
    AnyCoupling,
    AssignmentConfig,
    ContrastiveConfig,
    JointConfig,
)
from husai.training.coupling.contrastive import Contrastive
from husai.training.coupling.coupling import Coupling
from husai.training.coupling.grouped import Grouped
from husai.training.coupling.joint import Joint
from husai.training.coupling.pinning import pinning

MOST_ANCHORS = 1024  # where their number is not given


@dataclass(frozen=True)
class Tie:
    """One group of seeds: SAEs of a config on rows of width `d_in`, and what there is to tie them to.

    `reference` was trained on the same scaled rows. `rows_of(n)` gives n scaled rows [n, D] that no other group has.
    `group` is its number: what is drawn for it follows from it, whatever other groups there are.
    """

    config: AnySAEConfig
    d_in: int
    root: int
    reference: SAE | None = None
    rows_of: Callable[[int], Tensor] | None = None
    group: int = 0

    @property
    def width(self) -> int:
        """Of a decoder row; for scaled rows it is their mean square norm as well."""
        return architecture(self.config).shapes(self.config, self.d_in)["W_dec"][-1]

    @property
    def variance(self) -> float:
        """Of the scaled rows."""
        return float(self.width)


def couple(asked: AnyCoupling, ties: Sequence[Tie], size: int = 0) -> Coupling:
    """The coupling of as many groups as there are ties, of `size` seeds each; one group is all of the stack.

    Raises:
        UserError: a reference does not fit; Refused, where nothing would.
    """
    parts = tuple(_tied(asked, tie) for tie in ties)
    return parts[0] if len(parts) == 1 else Grouped(parts, size)


def _tied(asked: AnyCoupling, tie: Tie) -> Coupling:
    if isinstance(asked, JointConfig):
        return Joint(asked.weight, tie.variance, asked.every)
    if isinstance(asked, ContrastiveConfig):
        return Contrastive(_anchors(asked, tie), asked.weight, tie.variance, asked.temperature)
    if tie.reference is None:
        raise UserError(f"the coupling {asked.kind} needs a reference: train one, and give it")
    if isinstance(asked, AlignmentConfig):
        W_GO = _alike(tie, tie.reference, ("architecture", "width")).W_dec
        return Alignment(W_GO, asked.weight, tie.variance)
    if isinstance(asked, AssignmentConfig):
        W_FO = _alike(tie, tie.reference, ("architecture", "width", "d_sae")).W_dec
        return Assignment(W_FO, asked.weight, tie.variance, asked.every)
    its = _alike(tie, tie.reference, ("architecture", "width", "d_sae", "subtract_b_dec"))
    return pinning(tie.config, architecture(tie.config), its, asked.fraction, tie.root, tie.group)


def _alike(tie: Tie, reference: SAE, names: Sequence[str]) -> SAE:
    """The reference, if it has what the coupling needs it to have in common with what is tied to it."""
    for name in names:
        if name == "width":
            ours, its = tie.width, reference.W_dec.shape[-1]
        else:
            ours, its = (getattr(c, "kind" if name == "architecture" else name) for c in (tie.config, reference.config))
        if its != ours:
            raise UserError(f"the reference has {name} {its}, what is tied to it {ours}: train one alike")
    return reference


def _anchors(asked: ContrastiveConfig, tie: Tie) -> Tensor:
    """Unit rows [A, O] of what the SAEs reconstruct; scaled rows are centred already."""
    if tie.rows_of is None:
        raise UserError("the coupling contrastive needs training rows to take its anchors from")
    rows_AD = tie.rows_of(asked.anchors or min(max(2, tie.config.d_sae // 2), MOST_ANCHORS))
    return unit_rows(architecture(tie.config).split(tie.config, rows_AD)[1])
