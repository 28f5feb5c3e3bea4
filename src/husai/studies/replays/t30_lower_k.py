"""T30: lower k, more consistent features of the model: and of a Gaussian, and of models that learned nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from husai.statistics.decision import call
from husai.statistics.estimate import Estimate
from husai.statistics.intervals import (
    independent_difference,
    nested_pair_mean,
    pair_contrast,
    pair_mean,
    pair_mean_difference,
    unit_mean,
)
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.studies.evidence import STATISTIC
from husai.studies.node import Node
from husai.studies.plan import GAUSSIAN, RANDOM_MODEL, TARGET, random_model
from husai.studies.replays.bench import Bench, Trained
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, against_controls, low, near, settled
from husai.studies.replays.t02_trained_as_random import COSINE
from husai.studies.replays.t03_trade_off import SEEDS, longer, published, same_longer, steps_of

STABILITY = f"{STATISTIC}, alive latents"


def search(bench: Bench, source: str) -> list[Trained]:
    """The sweep over k as it was run."""
    s = bench.scale
    return [bench.as_published(k, s.search_steps, SEEDS, source) for k in s.search_k]


def models(bench: Bench) -> list[str]:
    """Names of the random-weight models."""
    return [random_model(i) for i in range(bench.scale.controls.random_models)]


def nodes(bench: Bench) -> list[Node]:
    """The sweep on the rows and on their twin; two k with enough steps on these and on random-weight models."""
    arms = [*search(bench, TARGET), *search(bench, GAUSSIAN), *published(bench), *same_longer(bench)]
    for source in (TARGET, GAUSSIAN, *models(bench)):
        arms += [*longer(bench, source, half=True), *longer(bench, source)]
    return [bench.model, *bench.sources.values(), *(node for trained in arms for node in trained.nodes)]


def read(found: Found) -> Reading:
    """The effect of k, and what of it is left beyond each control."""
    b = found.bench
    few, many = (found.pairs(trained) for trained in published(b))
    replayed = legacy_pair_bootstrap(few - many, root=b.root)
    effects = {name: effect(found, name) for name in (TARGET, GAUSSIAN, RANDOM_MODEL)}
    beyond = {
        RANDOM_MODEL: independent_difference(effects[TARGET], effects[RANDOM_MODEL]),
        GAUSSIAN: _over_twin(found),
    }
    steps, margin = steps_of(b), b.replay.margin
    shown = {TARGET: "the model's rows", GAUSSIAN: "their Gaussian twin", RANDOM_MODEL: "random-weight models"}
    few_longer, many_longer = (alive(found, trained) for trained in same_longer(b))
    same = pair_mean_difference(few_longer, many_longer)
    overturns, upholds = against_controls("the effect of k", beyond, margin)
    changes = {(name, k): change(found, name, i) for name in entering(beyond, margin) for i, k in enumerate(b.scale.k)}
    return Reading(
        (Figure("stability of the low k less that of the high", replayed, COSINE),),
        (
            *(Figure(f"effect of k beyond {shown[n]}", e, STABILITY, null=n) for n, e in beyond.items()),
            *(Figure(f"effect of k on {shown[n]}, {steps}", e, STABILITY) for n, e in effects.items()),
            *(Figure(f"change of stability on {shown[n]} from half of the steps, k = {k}", e, STABILITY)
              for (n, k), e in changes.items()),
            Figure(f"effect of k on {shown[TARGET]}, both trained for {b.scale.longer} steps", same, STABILITY),
        ),
        (near("the effect of k", replayed.value, 0.05701, 0.015),
         Check("lower bound over pairs", low(replayed), "at least", 0.0)),
        (overturns,),
        (upholds,),
        tuple(settled(f"stability on {shown[n]}, k = {k}", e, margin) for (n, k), e in changes.items()),
    )  # fmt: skip


def effect(found: Found, source: str) -> Estimate:
    """Stability of the low k less that of the high one, alive latents; of random-weight models, over models."""
    if source == RANDOM_MODEL:
        values = [_pair_difference(found, name).value for name in models(found.bench)]
        return unit_mean(values, unit="models")
    return _pair_difference(found, source)


def _pair_difference(found: Found, source: str) -> Estimate:
    a, b = (alive(found, trained) for trained in longer(found.bench, source))
    return pair_mean_difference(a, b)


def alive(found: Found, trained: Trained) -> np.ndarray:
    """The statistic of verdicts."""
    return found.pairs(trained, STATISTIC, "alive")


def _over_twin(found: Found) -> Estimate:
    (a, b), (c, d) = (longer(found.bench, source) for source in (TARGET, GAUSSIAN))
    terms = [(1.0, a), (-1.0, b), (-1.0, c), (1.0, d)]
    return pair_contrast([(weight, alive(found, trained)) for weight, trained in terms])


def entering(beyond: Mapping[str, Estimate], margin: float) -> list[str]:
    """Rows whose SAEs must be at their end: the model's and those of the controls that block, or else of all."""
    blocking = [name for name, D in beyond.items() if call(D, margin)[0] == "not beyond"]
    return [TARGET, *(blocking or beyond)]


def change(found: Found, source: str, arm: int) -> Estimate:
    """Stability after all of the steps less that after half of them; of random-weight models, over models."""
    if source == RANDOM_MODEL:
        return unit_mean([change(found, name, arm).value for name in models(found.bench)], unit="models")
    full, half = (longer(found.bench, source, half=h)[arm] for h in (False, True))
    return pair_mean_difference(alive(found, full), alive(found, half))


def curve(found: Found, source: str) -> list[Estimate]:
    """The sweep's agreement for each k, with intervals over seeds."""
    return [pair_mean(found.pairs(trained)) for trained in search(found.bench, source)]


def ends(found: Found, source: str) -> list[Estimate]:
    """Agreement of the two k with enough steps; of random-weight models, over models."""
    if source != RANDOM_MODEL:
        return [pair_mean(found.pairs(trained)) for trained in longer(found.bench, source)]
    by_model = [longer(found.bench, name) for name in models(found.bench)]
    return [nested_pair_mean([found.pairs(arms[i]) for arms in by_model]) for i in (0, 1)]


CLAIM = Claim(
    "T30",
    "Lower k gives more consistent features of the model",
    "a published adaptive-L0 report: sweep over k, then two values with more seeds",
    (Figure("stability of the low k less that of the high", 0.05701, COSINE),),
    "Fewer active latents agree more on any data of low rank. What counts is how much more they agree than on a "
    "Gaussian with the same covariance and than on models that learned nothing.",
    nodes,
    read,
)
