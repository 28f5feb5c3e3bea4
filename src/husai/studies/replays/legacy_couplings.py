"""Training with a published objective that ties SAEs to a reference, for the replay of its claim alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from husai.activations.stream import Feed
from husai.events import check_stop, report
from husai.saes.config import AnySAEConfig
from husai.saes.parameters import Parameters
from husai.saes.stack import SAEStack, load_stack
from husai.studies.node import Work
from husai.studies.nodes.job import SAE
from husai.studies.nodes.rows import Rows, open_rows
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling, OnlyPulls, Pull
from husai.training.engines.reference import ReferenceEngine
from husai.training.schedules import learning_rate
from husai.training.state import start


@dataclass
class DecoderPinning(OnlyPulls):
    """T09: decoder rows are copied and held; the encoder rows that read them are held where they were drawn."""

    reference: Parameters
    pinned_F: Tensor
    name: str = "legacy pinning"
    why_reference: str = "a replay"

    def pull(self, step: int, W_dec_SFO: Tensor, held: Parameters) -> Pull:
        """No terms."""
        return [{} for _ in W_dec_SFO], None

    def start_(self, p_S: Parameters) -> None:
        """Copy decoder rows, and nothing else."""
        p_S["W_dec"][:, self.pinned_F] = self.reference["W_dec"][self.pinned_F]

    def drop_(self, place: int, grads: Parameters) -> None:
        """Neither side of a pinned latent moves."""
        for name in ("W_dec", "W_enc"):
            grads[name] = grads[name].masked_fill(self.pinned_F[:, None], 0.0)

    def says(self) -> str:
        """What must be said of it."""
        return "legacy pinning: replay only"


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
