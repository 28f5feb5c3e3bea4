"""T32: seeds agree, hence the features are true: on planted features that come in pairs they agree on the pairs."""

from __future__ import annotations

import numpy as np

from husai.activations.manifest import Origin
from husai.activations.writer import write_rows
from husai.saes.config import TopKConfig
from husai.seeds import Role, generator
from husai.statistics.intervals import pair_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.store.tensors import array_hash, save_arrays
from husai.studies.node import Node, Outcome, Work
from husai.studies.plan import measure_node, stack_node
from husai.studies.replays.bench import Bench, Trained, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, high, low
from husai.studies.replays.t02_trained_as_random import COSINE, SEEDS
from husai.tasks.planted import PlantedConfig, combine, draw_codes, draw_dictionary
from husai.training.config import TrainingConfig

D, PAIRS = 32, 32
TOGETHER = 0.6  # chance that a feature brings its partner


def rows(work: Work) -> Outcome:
    """Rows of planted features; an active feature often brings its partner, with about the same strength."""
    n, root = work.fields["rows"], work.fields["root_seed"]
    config = PlantedConfig(d_in=D, n_features=PAIRS, n_active=2, n_rows=n, seed=root)
    truth = draw_dictionary(config.model_copy(update={"n_features": 2 * PAIRS}))
    indices, values = draw_codes(config)
    rng = generator(root, Role.EVALUATION, "replay", "pairs")
    both, first = rng.random(indices.shape) < TOGETHER, rng.integers(0, 2, indices.shape)
    mine, other = np.where(both, 0, first), np.where(both, 1, 1 - first)
    held = np.where(both, values * np.exp(0.2 * rng.standard_normal(values.shape)), 0).astype(np.float32)
    x = combine(truth, np.hstack([2 * indices + mine, 2 * indices + other]), np.hstack([values, held]))
    save_arrays(work.draft / "truth.safetensors", {"dictionary_FD": truth})
    what = f"{2 * PAIRS} planted features in {D} dimensions that often come in pairs (replay only)"
    hashes = {"planted": array_hash({"x": x, "truth": truth})}
    write_rows(work.draft / "rows", x, Origin(kind="planted", synthetic=True, description=what, hashes=hashes))
    return Outcome(facts={"rows": what})


def _rows(bench: Bench) -> Node:
    return reading("features_in_pairs", "planted features in pairs", {}, bench.root, rows=bench.scale.planted_rows)


def _trained(bench: Bench) -> Trained:
    data, steps = _rows(bench), bench.scale.planted_steps
    training = TrainingConfig(batch=256, lr=3e-3)
    sae = TopKConfig(d_sae=PAIRS, k=2)
    title = f"features in pairs, k = 2 of {PAIRS}: {SEEDS} seeds, {steps} steps"
    stack = stack_node(sae, training, steps, tuple(range(SEEDS)), bench.root, data, title)
    return Trained(stack, measure_node(stack, data, bench.root, f"measure {title}"))


def nodes(bench: Bench) -> list[Node]:
    """Planted rows, and SAEs with a latent for each pair."""
    return [_rows(bench), *_trained(bench).nodes]


def read(found: Found) -> Reading:
    """Agreement between seeds beside agreement with what was planted."""
    trained = _trained(found.bench)
    replayed = legacy_pair_bootstrap(found.pairs(trained), root=found.bench.root)
    between = pair_mean(found.pairs(trained, "mcc_signed", "alive"))
    truth = found.estimate(trained.measure, "matched_to_truth")
    return Reading(
        (Figure("mean_max_cos between seeds", replayed, COSINE),),
        (
            Figure("cosine of matched latents with the planted features", truth, COSINE),
            Figure("mcc_signed between seeds", between, COSINE),
        ),
        (Check("agreement between seeds", replayed.value, "at least", 0.76),),
        (
            Check("lower bound between seeds less upper bound with the truth",
                  low(between) - high(truth), "at least", 0.0),
        ),
    )  # fmt: skip


CLAIM = Claim(
    "T32",
    "Features on which seeds agree are the true ones",
    "published reports that take agreement between seeds as a sign of truth",
    (Figure("agreement between seeds", 0.81, COSINE),),
    "Features that come together look like one feature to every seed. Agreement between seeds cannot tell; agreement "
    "with a planted dictionary can.",
    nodes,
    read,
)
