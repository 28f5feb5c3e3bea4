"""T28: same data, different seed, where the seed also shuffled the data before the split."""

from __future__ import annotations

import numpy as np

from husai.activations.partition import hold_out
from husai.statistics.intervals import unit_mean
from husai.store.record import Measurement
from husai.studies.measured import measured
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading
from husai.studies.replays.legacy_formulas import rows_of_seed

SHARE = "share of training rows that two seeds have in common"
SEEDS = (42, 123, 456, 789, 1011)
KEPT = 0.8


def overlaps(work: Work) -> Outcome:
    """Rows that two runs have in common, with one seed for everything and with a stream for each use."""
    n, root = work.fields["rows"], work.fields["root_seed"]
    one_seed = [rows_of_seed(seed, n, KEPT) for seed in SEEDS]
    streams = [hold_out(n, 1 - KEPT, root)[0] for _ in SEEDS]
    return Outcome([_shared("one_seed", one_seed), _shared("named_streams", streams)])


def _shared(name: str, kept: list[np.ndarray]) -> Measurement:
    """With the next seed, so that every seed counts in two."""
    shares = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(kept, [*kept[1:], kept[0]], strict=True)]
    return measured(name, unit_mean(shares, unit="neighbouring seeds"), SHARE, {})


def _overlaps(bench: Bench) -> Node:
    rows = bench.scale.source.task.n_possible
    return reading("chosen_rows", "rows that seeds have in common", {}, bench.root, rows=rows)


def nodes(bench: Bench) -> list[Node]:
    """Draws alone."""
    return [_overlaps(bench)]


def read(found: Found) -> Reading:
    """What seeds share in either way."""
    node = _overlaps(found.bench)
    bare, named = (found.estimate(node, name) for name in ("one_seed", "named_streams"))
    return Reading(
        (Figure("training rows in common, one seed for everything", bare, SHARE),),
        (Figure("training rows in common, a stream for each use", named, SHARE),),
        (Check("rows in common where the seed also splits", bare.value, "at most", 0.9),),
        (Check("rows in common where the split has its own stream", named.value, "at least", 1.0),),
    )


CLAIM = Claim(
    "T28",
    "Seeds were trained on the same data",
    "published multi-seed reports whose one seed sets every generator",
    (Figure("training rows in common", 1.0, SHARE, "what the words say; no figure was given"),),
    "One number seeded initial weights, shuffling and split. What differed between seeds was more than was said.",
    nodes,
    read,
)
