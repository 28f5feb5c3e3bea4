"""Two published objectives that tie SAEs to a reference, as they were, for the replay of their claims alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from husai.activations.stream import Feed
from husai.events import check_stop, report
from husai.saes.config import AnySAEConfig
from husai.saes.parameters import Parameters, unit_rows
from husai.saes.stack import SAEStack, load_stack
from husai.studies.node import Work
from husai.studies.nodes.job import SAE
from husai.studies.nodes.rows import Rows, open_rows
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.engines.reference import ReferenceEngine
from husai.training.schedules import learning_rate
from husai.training.state import start

REMATCH = 25  # steps


@dataclass
class DecoderPinning:
    """T09: decoder rows are copied and held; the encoder rows that read them are held where they were drawn."""

    reference: Parameters
    pinned_F: Tensor
    name: str = "legacy pinning"
    why_reference: str = "a replay"

    def pull(self, step: int, W_dec_SFO: Tensor) -> tuple[list[dict[str, Tensor]], Tensor]:
        """No terms."""
        return [{} for _ in W_dec_SFO], torch.zeros_like(W_dec_SFO)

    def start_(self, p_S: Parameters) -> None:
        """Copy decoder rows, and nothing else."""
        p_S["W_dec"][:, self.pinned_F] = self.reference["W_dec"][self.pinned_F]

    def drop_(self, grads: Parameters) -> None:
        """Neither side of a pinned latent moves."""
        for name in ("W_dec", "W_enc"):
            grads[name] = grads[name].masked_fill(self.pinned_F[:, None], 0.0)

    def hold_(self, p: Parameters) -> None:
        """Nothing has moved."""

    def says(self) -> str:
        """What must be said of it."""
        return "legacy pinning: replay only"


@dataclass
class Assignment:
    """T10: each decoder row is drawn to its partner in a one-to-one matching with the reference, made anew at times.

    `weight * variance * (1 - mean_j cos(w_j, r_partner(j)))`, variance that of scaled rows.
    """

    reference_FO: Tensor
    weight: float
    name: str = "legacy assignment"
    why_reference: str = "a replay"
    _partner: list[Tensor] = field(default_factory=list)

    def pull(self, step: int, W_dec_SFO: Tensor) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Terms and the gradient of their sum."""
        reference = unit_rows(self.reference_FO)
        if step % REMATCH == 0 or not self._partner:
            self._partner = [_matched(W_FO, reference) for W_FO in W_dec_SFO]
        strength = self.weight * W_dec_SFO.shape[-1] / W_dec_SFO.shape[1]
        terms, gradients = [], []
        for W_FO, partner_F in zip(W_dec_SFO, self._partner, strict=True):
            unit, r = unit_rows(W_FO), reference[partner_F]
            cosine_F = (unit * r).sum(-1, keepdim=True)
            terms.append({self.name: strength * (1 - cosine_F).sum()})
            gradients.append(-strength * (r - cosine_F * unit) / W_FO.norm(dim=-1, keepdim=True).clamp_min(1e-12))
        return terms, torch.stack(gradients)

    def start_(self, p_S: Parameters) -> None:
        """Seeds start as they would."""

    def drop_(self, grads: Parameters) -> None:
        """Everything moves."""

    def hold_(self, p: Parameters) -> None:
        """Nothing is kept."""

    def says(self) -> str:
        """What must be said of it."""
        return "legacy assignment: replay only"


def _matched(W_FO: Tensor, reference_FO: Tensor) -> Tensor:
    return torch.from_numpy(linear_sum_assignment(-(unit_rows(W_FO) @ reference_FO.T).double().numpy())[1])


def trained_with(work: Work, coupling: Coupling) -> tuple[SAEStack, Rows]:
    """The SAEs of a reading's fields, trained with the coupling; and the rows on which they were."""
    config: AnySAEConfig = SAE.validate_python(work.fields["sae"])
    training, seeds = TrainingConfig.parse(work.fields["training"]), tuple(work.fields["seeds"])
    root = work.fields["root_seed"]
    rows, its = open_rows(work.folders["activations"], training, root), reference_of(work)
    feed: Feed = rows.feed(training, seeds, root, 1)
    state = start(config, training, rows.cache.d_in, seeds, root, coupling=coupling)
    engine = ReferenceEngine(config, training, coupling)
    for step in range(training.steps):
        engine.step(state, feed.batch(step), learning_rate(training, training.steps, step))
        check_stop()
        report(work.id, work.title, step + 1, training.steps)
    return SAEStack(config, seeds, state.parameters, its.mean_D, its.factor), rows


def reference_of(work: Work) -> SAEStack:
    """The reference."""
    return load_stack(work.folders["reference"] / "stack.safetensors")
