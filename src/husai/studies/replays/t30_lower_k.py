"""T30: lower k, more consistent features of the model: and of a Gaussian, and of models that learned nothing."""

from __future__ import annotations

import numpy as np

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
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, low, near
from husai.studies.replays.t02_trained_as_random import COSINE
from husai.studies.replays.t03_trade_off import SEEDS, longer, published

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
    arms = [*search(bench, TARGET), *search(bench, GAUSSIAN), *published(bench)]
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
    steps, margin = b.scale.longer, b.replay.margin
    shown = {TARGET: "the model's rows", GAUSSIAN: "their Gaussian twin", RANDOM_MODEL: "random-weight models"}
    changes = [_change(found, i) for i in (0, 1)]
    least = min(low(e) for e in beyond.values())
    return Reading(
        (Figure("stability of the low k less that of the high", replayed, COSINE),),
        (
            *(Figure(f"effect of k beyond {shown[n]}", e, STABILITY, null=n) for n, e in beyond.items()),
            *(Figure(f"effect of k on {shown[n]}, {steps} steps", e, STABILITY) for n, e in effects.items()),
            *(Figure(f"change of stability from half of the steps, k = {k}", e, STABILITY)
              for k, e in zip(b.scale.k, changes, strict=True)),
        ),
        (near("the effect of k", replayed.value, 0.05701, 0.015),
         Check("lower bound over pairs", low(replayed), "at least", 0.0)),
        (Check("lower bound of the effect beyond the control that leaves least", least, "at most", margin),),
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


def _change(found: Found, arm: int) -> Estimate:
    full, half = (longer(found.bench, TARGET, half=h)[arm] for h in (False, True))
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
