"""The nodes that claims share: the leaky model and its rows, their controls, SAEs as they were trained in the reports.

The reports trained TopK SAEs with untied encoders, unit decoder rows, the mean squared error alone and Adam at 3e-4 on
batches of 2,048. Here rows are centred and scaled, the rate is decayed over the last fifth of the steps and a decoder
bias is trained, as everywhere in husai; with that the published figures come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from husai.saes.config import TopKConfig
from husai.studies.node import Node
from husai.studies.plan import (
    GAUSSIAN,
    OWN_SEEDS,
    TARGET,
    Coupled,
    Detail,
    activations_nodes,
    gaussian_node,
    measure_node,
    random_model,
    stack_node,
)
from husai.studies.replays.replay import Replay, Scale
from husai.training.config import TrainingConfig


def reading(what: str, title: str, parents: dict[str, Node], root: int, **fields: object) -> Node:
    """A node whose code is one of the claims' own."""
    return Node("reading", title, {"reading": what, "root_seed": root, **fields}, parents)


@dataclass(frozen=True)
class Trained:
    """A stack, and what was measured of it on the rows that it was trained on."""

    stack: Node
    measure: Node

    @property
    def nodes(self) -> list[Node]:
        """Both, the first first."""
        return [self.stack, self.measure]


@dataclass(frozen=True)
class Bench:
    """Nodes of one replay; the same question gives the same node."""

    replay: Replay

    @property
    def scale(self) -> Scale:
        """Its sizes."""
        return self.replay.scale

    @property
    def root(self) -> int:
        """Its root seed."""
        return self.replay.root_seed

    @cached_property
    def model(self) -> Node:
        """The model with the answer in its input."""
        return activations_nodes(self.scale.source, self.root)[0]

    @cached_property
    def rows(self) -> Node:
        """Its activations, which husai would refuse."""
        fields = {"source": self.scale.source.plain()}
        return reading("leaky_rows", "activations of the leaky model", {"model": self.model}, self.root, **fields)

    @cached_property
    def sources(self) -> dict[str, Node]:
        """These rows, their Gaussian twin, and rows of random-weight models."""
        found = {TARGET: self.rows, GAUSSIAN: gaussian_node(self.rows, 0, "Gaussian twin of the leaky model's rows")}
        for i in range(self.scale.controls.random_models):
            title = f"activations of random-weight model {i}"
            (found[random_model(i)],) = activations_nodes(self.scale.source.untrained(i), self.root, title)
        return found

    def seeds(self, source: str, n: int) -> tuple[int, ...]:
        """Seeds on a source; every random-weight model has its own."""
        if source in (TARGET, GAUSSIAN):
            return tuple(range(n))
        first = OWN_SEEDS * (1 + int(source.rpartition("-")[2]))
        return tuple(range(first, first + self.scale.controls.seeds_per_random_model))

    def as_published(self, k: int, steps: int, n: int, source: str = TARGET, d_sae: int | None = None) -> Trained:
        """SAEs trained as in the reports."""
        training = TrainingConfig(batch=self.scale.batch, lr=3e-4, held_out=0.0)
        return self._trained(k, d_sae or self.scale.d_sae, training, steps, source, n, None, "pairs")

    def long_enough(
        self, k: int, steps: int, n: int, source: str = TARGET, d_sae: int | None = None, half: Trained | None = None
    ) -> Trained:
        """The same SAEs at a rate and for a number of steps at which they are trained."""
        training = TrainingConfig(batch=min(512, self.scale.batch), lr=1e-3, held_out=0.0)
        return self._trained(k, d_sae or self.scale.d_sae, training, steps, source, n, half, "pairs")

    def _trained(
        self,
        k: int,
        d_sae: int,
        training: TrainingConfig,
        steps: int,
        source: str,
        n: int,
        half: Trained | None,
        detail: Detail,
    ) -> Trained:
        sae = TopKConfig(d_sae=d_sae, k=k, tied_init=False, subtract_b_dec=False)
        rows, seeds = self.sources[source], self.seeds(source, n)
        title = f"{source} k = {k} of {d_sae}: {len(seeds)} seeds, {steps} steps of {training.batch}"
        stack = stack_node(sae, training, steps, seeds, self.root, rows, title, half.stack if half else None)
        return Trained(stack, measure_node(stack, rows, self.root, f"measure {title}", detail))

    def tied(self, seeds: tuple[int, ...]) -> dict[str, Any]:
        """Config, training and seeds of SAEs that a reference takes part in, as a reading's fields."""
        sae, training = self._tied()
        return {"sae": sae.plain(), "training": training.plain(), "seeds": list(seeds)}

    def _tied(self) -> tuple[TopKConfig, TrainingConfig]:
        s = self.scale
        sae = TopKConfig(d_sae=s.d_sae, k=s.k[0], tied_init=False, subtract_b_dec=False)
        return sae, TrainingConfig(steps=s.coupled, batch=min(512, s.batch), lr=1e-3, held_out=0.0)

    def tied_to(self, seeds: tuple[int, ...], coupled: Coupled | None, title: str) -> Trained:
        """SAEs that a reference takes part in, or the same without it."""
        sae, training = self._tied()
        stack = stack_node(sae, training, training.steps, seeds, self.root, self.rows, title, coupled=coupled)
        return Trained(stack, measure_node(stack, self.rows, self.root, f"measure {title}", "pairs"))
