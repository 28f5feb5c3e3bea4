"""T03: stability seems to be paid for with reconstruction, because neither arm was trained."""

from __future__ import annotations

from husai.statistics.estimate import Estimate
from husai.statistics.intervals import independent_difference, pair_mean_difference
from husai.studies.node import Node
from husai.studies.replays.bench import Bench, Trained
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, against_controls, low, near, settled
from husai.studies.replays.t02_trained_as_random import COSINE

SHARE = "share of variance"
SEEDS = 5
EV_MARGIN = 0.01  # of explained variance; a study's margin is one of stability


def published(bench: Bench) -> tuple[Trained, Trained]:
    """Low and high k as the report trained them."""
    s = bench.scale
    return bench.as_published(s.k[0], s.steps, s.seeds), bench.as_published(s.k[1], s.steps, s.seeds)


def longer(bench: Bench, source: str, half: bool = False) -> tuple[Trained, Trained]:
    """Low and high k with enough steps for each, or with half of them."""
    s = bench.scale
    arms = list(zip(s.k, s.enough, strict=True))
    before = [bench.long_enough(k, steps // 2, SEEDS, source) for k, steps in arms]
    if half:
        return before[0], before[1]
    a, b = (bench.long_enough(k, n, SEEDS, source, half=h) for (k, n), h in zip(arms, before, strict=True))
    return a, b


def same_longer(bench: Bench) -> tuple[Trained, Trained]:
    """Both k with the same steps, as in "the same, trained longer": k = 4 is not at its end there."""
    s = bench.scale
    enough = longer(bench, "target")
    a, b = (
        trained if steps == s.longer else bench.long_enough(k, s.longer, SEEDS)
        for trained, steps, k in zip(enough, s.enough, s.k, strict=True)
    )
    return a, b


def nodes(bench: Bench) -> list[Node]:
    """Both arms, short and long."""
    arms = [*published(bench), *same_longer(bench), *longer(bench, "target", half=True), *longer(bench, "target")]
    return [bench.model, bench.rows, *(node for trained in arms for node in trained.nodes)]


def read(found: Found) -> Reading:
    """What the high k explains more than the low one, early and late."""
    b = found.bench
    early, late, mid, same = published(b), longer(b, "target"), longer(b, "target", half=True), same_longer(b)
    cost, final = _gain(found, early), _gain(found, late)
    before, after = _stability(found, early), _stability(found, late)
    k0, k1 = b.scale.k
    overturns, upholds = against_controls("that the high k explains more", {"both k": final}, EV_MARGIN)
    moved = [independent_difference(found.ev(full), found.ev(half)) for full, half in zip(late, mid, strict=True)]
    return Reading(
        (
            *(Figure(f"explained variance, k = {k}", found.ev(t), SHARE) for k, t in zip((k0, k1), early, strict=True)),
            Figure("stability of the low k less that of the high", before, COSINE),
        ),
        (
            Figure(f"explained variance of the high k less that of the low, {steps_of(b)}", final, SHARE),
            Figure("the same at half of these steps", _gain(found, mid), SHARE),
            Figure("stability of the low k less that of the high", after, COSINE),
            Figure(f"explained variance, both trained for {b.scale.longer} steps", _gain(found, same), SHARE),
            Figure(f"stability, both trained for {b.scale.longer} steps", _stability(found, same), COSINE),
        ),
        (
            near("what the high k explains more", cost.value, 0.68875 - 0.5317, 0.05),
            Check("lower bound of what the high k explains more", low(cost), "at least", 0.05),
            Check("stability of the low k less that of the high", low(before), "at least", 0.0),
        ),
        (overturns,),
        (upholds,),
        tuple(settled(f"explained variance, k = {k}", e, EV_MARGIN) for k, e in zip((k0, k1), moved, strict=True)),
    )


def steps_of(bench: Bench) -> str:
    """How long the right readings were trained."""
    (a, b), (few, many) = bench.scale.k, bench.scale.enough
    return f"{few} steps" if few == many else f"{few} steps at k = {a}, {many} at k = {b}"


def _stability(found: Found, arms: tuple[Trained, Trained]) -> Estimate:
    """Low k less high k."""
    return pair_mean_difference(found.pairs(arms[0]), found.pairs(arms[1]))


def _gain(found: Found, arms: tuple[Trained, Trained]) -> Estimate:
    """Explained variance of the high k less that of the low one; each has its own spread over seeds."""
    return independent_difference(found.ev(arms[1]), found.ev(arms[0]))


CLAIM = Claim(
    "T03",
    "Stability is traded for reconstruction over k",
    "a published adaptive-L0 report: two values of k with the same seeds and epochs",
    (
        Figure("explained variance, k = 4", 0.5317, SHARE),
        Figure("explained variance, k = 32", 0.68875, SHARE),
        Figure("stability of the low k less that of the high", 0.05701, COSINE),
    ),
    "Both arms were stopped while they were still learning, the low k further from its end. Trained on, both explain "
    "the same; what is left is the difference in stability.",
    nodes,
    read,
)
