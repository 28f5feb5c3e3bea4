"""T10: seeds drawn to one reference agree, because they are copies of it. T11 is read from the same trainings."""

from __future__ import annotations

import numpy as np

from husai.saes.stack import load_stack
from husai.stability.metrics import mean_max_cos
from husai.statistics.intervals import pair_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.store.tensors import save_arrays
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, Trained, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near
from husai.studies.replays.t02_trained_as_random import COSINE, SEEDS
from husai.studies.replays.t03_trade_off import SHARE
from husai.studies.replays.t09_pinning import free, reference
from husai.studies.plan import REFERENCE_SEEDS, Coupled
from husai.training.coupling.config import AlignmentConfig

WEIGHT = 100.0  # far beyond use: the penalty is all that counts
ACROSS = "across.safetensors"
COUPLED = tuple(range(4))  # with the reference they are the five of the report


def across_groups(work: Work) -> Outcome:
    """Agreement of the first SAE of each group with those of the others."""
    roles = sorted(work.folders)
    W = [load_stack(work.folders[role] / "stack.safetensors").parameters["W_dec"][0].numpy() for role in roles]
    save_arrays(work.draft / ACROSS, {"pairs": np.array([[mean_max_cos(a, b) for b in W] for a in W])})
    return Outcome([], {"groups": len(roles)})


def drawn(bench: Bench) -> Trained:
    """Seeds of one group."""
    coupled = Coupled(AlignmentConfig(weight=WEIGHT), reference(bench).stack)
    return bench.tied_to(COUPLED, coupled, "drawn to one reference")


def _groups(bench: Bench) -> list[tuple[Trained, Trained]]:
    """Further references, and a seed drawn to each."""
    made = []
    for i in range(1, SEEDS):
        of = bench.tied_to((REFERENCE_SEEDS[0] + i,), None, f"reference {i}")
        coupled = Coupled(AlignmentConfig(weight=WEIGHT), of.stack)
        made.append((of, bench.tied_to((i,), coupled, f"drawn to reference {i}")))
    return made


def _across(bench: Bench) -> Node:
    parents = {"group 0": drawn(bench).stack} | {f"group {i + 1}": t.stack for i, (_, t) in enumerate(_groups(bench))}
    return reading("across_groups", "agreement between groups with references of their own", parents, bench.root)


def nodes(bench: Bench) -> list[Node]:
    """One group in full, four more with a seed each."""
    more = [trained.stack for pair in _groups(bench) for trained in pair]
    arms = [*reference(bench).nodes, *free(bench).nodes, *drawn(bench).nodes]
    return [bench.model, bench.rows, *arms, *more, _across(bench)]


def read(found: Found) -> Reading:
    """Agreement inside a group and between groups."""
    b = found.bench
    inside = legacy_pair_bootstrap(found.pairs(drawn(b)), root=b.root)
    between = pair_mean(found.arrays(_across(b), ACROSS)["pairs"], unit="groups")
    untied, tied = found.ev(free(b)), found.ev(drawn(b))
    return Reading(
        (Figure("mean_max_cos of coupled seeds", inside, COSINE),),
        (
            Figure("mean_max_cos between groups with references of their own", between, COSINE),
            Figure("mean_max_cos of untied seeds", pair_mean(found.pairs(free(b))), COSINE),
            Figure("explained variance of untied seeds", untied, SHARE),
            Figure("explained variance of coupled seeds", tied, SHARE),
        ),
        (near("the agreement", inside.value, 0.9986, 0.02),),
        (Check("agreement between groups less that inside one", between.value - inside.value, "at most", -0.2),),
    )


CLAIM = Claim(
    "T10",
    "A consistency objective makes dictionaries almost identical",
    "a published consistency experiment with one trained reference",
    (Figure("mean_max_cos of coupled seeds", 0.9986, COSINE),),
    "Every seed was drawn to the same reference, so that their agreement was put in. Groups with references of their own "
    "do not share it.",
    nodes,
    read,
)
