"""T03: stability seems to be paid for with reconstruction, because neither arm was trained."""

from __future__ import annotations

from husai.statistics.estimate import Estimate
from husai.statistics.intervals import independent_difference, pair_mean_difference
from husai.studies.node import Node
from husai.studies.replays.bench import Bench, Trained
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, high, low, near
from husai.studies.replays.t02_trained_as_random import COSINE

SHARE = "share of variance"
SEEDS = 5


def published(bench: Bench) -> tuple[Trained, Trained]:
    """Low and high k as the report trained them."""
    s = bench.scale
    return bench.as_published(s.k[0], s.steps, s.seeds), bench.as_published(s.k[1], s.steps, s.seeds)


def longer(bench: Bench, source: str, half: bool = False) -> tuple[Trained, Trained]:
    """Low and high k with enough steps, or with half of them."""
    s = bench.scale
    if half:
        a, b = (bench.long_enough(k, s.longer // 2, SEEDS, source) for k in s.k)
        return a, b
    before = longer(bench, source, half=True)
    a, b = (bench.long_enough(k, s.longer, SEEDS, source, half=h) for k, h in zip(s.k, before, strict=True))
    return a, b


def nodes(bench: Bench) -> list[Node]:
    """Both arms, short and long."""
    arms = [*published(bench), *longer(bench, "target", half=True), *longer(bench, "target")]
    return [bench.model, bench.rows, *(node for trained in arms for node in trained.nodes)]


def read(found: Found) -> Reading:
    """What the high k explains more than the low one, early and late."""
    b = found.bench
    early, late, mid = published(b), longer(b, "target"), longer(b, "target", half=True)
    cost, final = _gain(found, early), _gain(found, late)
    before = pair_mean_difference(found.pairs(early[0]), found.pairs(early[1]))
    after = pair_mean_difference(found.pairs(late[0]), found.pairs(late[1]))
    k0, k1 = b.scale.k
    return Reading(
        (
            *(Figure(f"explained variance, k = {k}", found.ev(t), SHARE) for k, t in zip((k0, k1), early, strict=True)),
            Figure("stability of the low k less that of the high", before, COSINE),
        ),
        (
            Figure(f"explained variance of the high k less that of the low, {b.scale.longer} steps", final, SHARE),
            Figure("the same at half of these steps", _gain(found, mid), SHARE),
            Figure("stability of the low k less that of the high", after, COSINE),
        ),
        (
            near("what the high k explains more", cost.value, 0.68875 - 0.5317, 0.05),
            Check("lower bound of what the high k explains more", low(cost), "at least", 0.05),
            Check("stability of the low k less that of the high", low(before), "at least", 0.0),
        ),
        (
            Check("upper bound of what the high k explains more", high(final), "at most", b.replay.margin),
            Check("lower bound of what the high k explains more", low(final), "at least", -b.replay.margin),
        ),
    )


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
