"""Node `levels`: what dictionaries that learned nothing score where the trained ones score what they do.

`untrained` is every seed at its own step 0; `random_decoder` keeps the trained encoder and draws the decoder; of
`permuted_decoder` every row stands at the place of another: the same dictionary, the wrong code. Each is measured as
the trained SAEs are, on the same held-out rows. They have no k to compare, so they are level checks and never decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from husai.errors import Refused
from husai.evals.fidelity import fidelity
from husai.saes.controls import permuted_decoder, random_decoder, untrained
from husai.saes.stack import SAEStack, load_stack
from husai.seeds import Role
from husai.stability.pairwise import PairTable, Population, pairwise
from husai.statistics.intervals import pair_mean, pair_mean_difference
from husai.store.record import Measurement
from husai.studies.existing.group import over_seeds
from husai.studies.measured import over_pairs, single
from husai.studies.node import Outcome, Work
from husai.studies.nodes.rows import open_rows
from husai.studies.nodes.saelens_stack import START
from husai.training.config import TrainingConfig

TRAINED = "trained"
METRICS = ("mcc_signed", "mean_max_cos")
LEVELS: dict[str, Callable[[SAEStack, int, tuple[Role, ...]], SAEStack]] = {
    "untrained": untrained,
    "random_decoder": lambda stack, root, vary: random_decoder(stack, root),
    "permuted_decoder": lambda stack, root, vary: permuted_decoder(stack, root),
}


@dataclass(frozen=True)
class Level:
    """Pairs of seeds, and explained variance of each, of one kind of dictionary."""

    name: str
    pairs: PairTable
    explained: list[float | None]

    def measurements(self, rows: int) -> list[Measurement]:
        """Stability with its deviation over pairs, over all and alive latents; explained variance."""
        scope, made = {"level": self.name}, []
        for metric in METRICS:
            for population in self.pairs_of:
                where = scope | {"population": population}
                matrix = self.pairs.matrix(metric, population)
                made.append(over_pairs(metric, matrix, pair_mean, "cosine", where, higher_is_better=True))
                made.append(_deviation(metric, matrix, where))
        unit = f"share of variance, {rows} held-out rows"
        return [*made, over_seeds("explained_variance", self.explained, unit, scope, True)]

    @property
    def pairs_of(self) -> tuple[Population, ...]:
        """Populations compared."""
        return "all", "alive"


def run(work: Work) -> Outcome:
    """Measure the trained stack and each level; the difference of the trained one from it, and their ratio."""
    record = work.parent("stack")
    training, root = TrainingConfig.parse(record.config["training"]), work.fields["root_seed"]
    x_ND = open_rows(work.folders["activations"], training, record.config["root_seed"]).held_out()
    stack = load_stack(work.folders["stack"] / "stack.safetensors")
    trained = _level(TRAINED, stack, x_ND)
    made, refused = trained.measurements(len(x_ND)), {}
    for name, make in LEVELS.items():
        try:
            made_of = make(stack, record.config["root_seed"], training.vary)
            level = _level(name, _start(work, made_of) if name == "untrained" else made_of, x_ND)
        except Refused as error:
            refused[name] = str(error)
            continue
        made += level.measurements(len(x_ND)) + _against(trained, level)
    facts: dict[str, Any] = {"levels": [n for n in LEVELS if n not in refused], "refused": refused, "root": root}
    return Outcome(made, facts, {"seeds": list(stack.seeds)})


def _start(work: Work, ours: SAEStack) -> SAEStack:
    """Every seed at its step 0: as its trainer left it there, where that was none of husai's."""
    path = work.folders["stack"] / START
    return load_stack(path) if path.exists() else ours


def _level(name: str, stack: SAEStack, x_ND: torch.Tensor) -> Level:
    found = [fidelity(stack[i], x_ND) for i in range(len(stack))]
    alive, W_SFD = np.stack([f.alive_F for f in found]), stack.parameters["W_dec"].numpy()
    pairs = pairwise(W_SFD, alive_masks_SF=alive, d_in=W_SFD.shape[-1])
    return Level(name, pairs, [f.explained_variance for f in found])


def _deviation(metric: str, matrix_SS: np.ndarray, scope: dict[str, str]) -> Measurement:
    pairs = matrix_SS[np.triu_indices(len(matrix_SS), 1)]
    value = float(pairs.std(ddof=1)) if len(pairs) > 1 and np.isfinite(pairs).all() else None
    why = "describes the pairs, which share seeds" if value is not None else "fewer than two pairs to compare"
    return single(f"{metric}.deviation", value, "cosine, over pairs", scope, why)


def _against(trained: Level, level: Level) -> list[Measurement]:
    """Trained less the level, by the same seeds; and how many times as high."""
    made = []
    for metric in METRICS:
        for population in trained.pairs_of:
            a, b = (one.pairs.matrix(metric, population) for one in (trained, level))
            scope = {"level": level.name, "population": population}
            difference = over_pairs(
                f"{metric}.difference", a - b, lambda m: pair_mean_difference(m, np.zeros_like(m)),
                "cosine, trained less the level", scope, null=level.name,
            )  # fmt: skip
            made += [difference, _ratio(metric, a, b, scope)]
    return made


def _ratio(metric: str, a_SS: np.ndarray, b_SS: np.ndarray, scope: dict[str, str]) -> Measurement:
    off = ~np.eye(len(a_SS), dtype=bool)
    value = float(a_SS[off].mean() / b_SS[off].mean()) if b_SS[off].mean() > 0 else None
    unit, why = "trained over the level, of the means over pairs", "see the difference, which has an interval"
    return single(f"{metric}.ratio", value, unit, scope, why)
