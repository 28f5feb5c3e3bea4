"""T18: an interval from a bootstrap over pairs of seeds, as if pairs were independent."""

from __future__ import annotations

from husai.seeds import Role, generator
from husai.statistics.estimate import Estimate
from husai.statistics.intervals import pair_mean, pair_mean_difference
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.studies.measured import single
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, low, near
from husai.studies.replays.t02_trained_as_random import COSINE
from husai.studies.replays.t03_trade_off import published

SHARE = "share of repetitions"


def coverage(work: Work) -> Outcome:
    """How often each interval holds the truth where seeds differ: five seeds, additive effects, true mean 0."""
    times = work.fields["simulations"]
    rng = generator(work.fields["root_seed"], Role.EVALUATION, "replay", "coverage")
    hits = {"pairs": 0, "seeds": 0}
    for _ in range(times):
        effect = rng.standard_normal(5)
        m = effect[:, None] + effect[None, :]
        hits["pairs"] += _holds(legacy_pair_bootstrap(m, draws=300))
        hits["seeds"] += _holds(pair_mean(m))
    why = f"{times} repetitions with five seeds whose effects add"
    return Outcome([single(f"coverage.{unit}", n / times, SHARE, {}, why) for unit, n in hits.items()])


def _holds(interval: Estimate) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= 0 <= interval.high


def _coverage(bench: Bench) -> Node:
    title = "how often intervals over pairs and over seeds cover"
    return reading("coverage", title, {}, bench.root, simulations=bench.scale.simulations)


def nodes(bench: Bench) -> list[Node]:
    """The two arms of the report, and a simulation."""
    return [bench.model, bench.rows, *(n for trained in published(bench) for n in trained.nodes), _coverage(bench)]


def read(found: Found) -> Reading:
    """The same difference with the interval of the report and with that over seeds."""
    b = found.bench
    few, many = (found.pairs(trained) for trained in published(b))
    replayed, right = legacy_pair_bootstrap(few - many, root=b.root), pair_mean_difference(few, many)
    over_pairs, over_seeds = (found.value(_coverage(b), f"coverage.{unit}") for unit in ("pairs", "seeds"))
    width = (replayed.high or 0.0) - (replayed.low or 0.0)
    simulated = f"{b.scale.simulations} repetitions"
    return Reading(
        (
            Figure("stability of the low k less that of the high", replayed, COSINE),
            Figure("width of its 95 % interval", width, COSINE, "a bootstrap over pairs"),
        ),
        (
            Figure("coverage of intervals over pairs", over_pairs, SHARE, simulated),
            Figure("coverage of intervals over seeds", over_seeds, SHARE, simulated),
            Figure("the difference with its interval over seeds", right, COSINE),
        ),
        (near("the difference", replayed.value, 0.05701, 0.015),
         near("the width of its interval", width, 0.05921 - 0.05482, 0.004),
         Check("lower bound over pairs", low(replayed), "at least", 0.0)),
        (
            Check("coverage of intervals over pairs", over_pairs, "at most", 0.8),
            Check("coverage of intervals over seeds", over_seeds, "at least", 0.92),
        ),
    )  # fmt: skip


CLAIM = Claim(
    "T18",
    "A difference with a narrow 95 % interval",
    "a published adaptive-L0 report: bootstrap over pairwise statistics",
    (
        Figure("stability of the low k less that of the high", 0.05701, COSINE),
        Figure("width of its 95 % interval", 0.05921 - 0.05482, COSINE),
    ),
    "Pairs that share a seed are not independent. Resampling them as if they were gives intervals that miss about half "
    "of the time; the seed is the unit.",
    nodes,
    read,
)
