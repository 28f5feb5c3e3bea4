"""T29: an untrained decoder recovers the truth, since both were drawn from seed 0."""

from __future__ import annotations

import numpy as np

from husai.saes.config import TopKConfig
from husai.saes.controls import torch_generator
from husai.saes.registry import architecture
from husai.seeds import Role
from husai.stability.metrics import mean_max_cos
from husai.stability.nulls import floor_mean_max_cos
from husai.statistics.intervals import unit_mean
from husai.studies.measured import measured, single
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near
from husai.studies.replays.legacy_formulas import raw_draw
from husai.studies.replays.t02_trained_as_random import COSINE
from husai.tasks.planted import PlantedConfig, draw_dictionary

D, F = 16, 32
ROOTS = 20
NAME = "mean_max_cos of an untrained decoder with the truth"


def recovered(work: Work) -> Outcome:
    """Agreement with the truth where both begin at one bare seed, and where each has its own stream."""
    same = mean_max_cos(raw_draw(0, F, D), raw_draw(0, F, D))
    config, first = TopKConfig(d_sae=F, k=3), work.fields["root_seed"]
    init = architecture(config).init
    values = []
    for root in range(first, first + ROOTS):
        truth = draw_dictionary(PlantedConfig(d_in=D, n_features=F, n_active=3, n_rows=2, seed=root))
        start = init(config, D, torch_generator(root, Role.SAE_INIT, 0), None)
        values.append(mean_max_cos(np.asarray(start["W_dec"]), truth))
    made = [single("bare_seed", same, COSINE, {}, "one draw")]
    return Outcome([*made, measured("streams", unit_mean(values, unit="root seeds"), COSINE, {})])


def _recovered(bench: Bench) -> Node:
    return reading("shared_generator", "an untrained decoder against the truth", {}, bench.root)


def nodes(bench: Bench) -> list[Node]:
    """Draws alone."""
    return [_recovered(bench)]


def read(found: Found) -> Reading:
    """With one seed, with streams, and chance."""
    node = _recovered(found.bench)
    same, apart = found.value(node, "bare_seed"), found.estimate(node, "streams")
    chance = floor_mean_max_cos(D, F, F).value
    return Reading(
        (Figure(NAME, same, COSINE, "one draw"),),
        (
            Figure("the same with a stream for each use", apart, COSINE),
            Figure("chance for this shape", chance, COSINE, "a closed form"),
        ),
        (near("the agreement", same, 0.99, 0.02), Check("the agreement", same, "at least", 0.97)),
        (Check("distance from chance with a stream for each use", abs(apart.value - chance), "at most", 0.03),),
    )


CLAIM = Claim(
    "T29",
    "A random decoder recovers planted features",
    "a published experiment on planted dictionaries",
    (Figure(NAME, 0.99, COSINE),),
    "The generator of the data and the decoder both started from the same bare seed: the random decoder was the truth.",
    nodes,
    read,
)
