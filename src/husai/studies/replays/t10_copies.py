"""T10: seeds drawn to one reference agree, because they are copies of it. T11 is read from the same trainings."""

from __future__ import annotations

import numpy as np

from husai.saes.stack import load_stack
from husai.stability.metrics import mean_max_cos
from husai.statistics.intervals import pair_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.store.tensors import save_arrays
from husai.studies.coupled import REFERENCE_SEEDS
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near
from husai.studies.replays.legacy_couplings import reference_of, trained_with
from husai.studies.replays.t02_trained_as_random import COSINE, SEEDS
from husai.studies.replays.t03_trade_off import SHARE
from husai.studies.replays.t09_pinning import PAIRS, free, outcome, reference
from husai.training.coupling.assignment import Assignment

WEIGHT = 100.0
REMATCH = 25  # steps
ACROSS = "across.safetensors"
COUPLED = tuple(range(4))  # with the reference they are the five of the report


def assigned(work: Work) -> Outcome:
    """Train as the report did: drawn to the reference, one to one."""
    reference_FO = reference_of(work).parameters["W_dec"][0]
    variance = float(reference_FO.shape[-1])  # of scaled rows
    return outcome(work, *trained_with(work, Assignment(reference_FO, work.fields["weight"], variance, every=REMATCH)))


def across_groups(work: Work) -> Outcome:
    """Agreement of the first SAE of each group with those of the others."""
    roles = sorted(work.folders)
    W = [load_stack(work.folders[role] / "stack.safetensors").parameters["W_dec"][0].numpy() for role in roles]
    save_arrays(work.draft / ACROSS, {"pairs": np.array([[mean_max_cos(a, b) for b in W] for a in W])})
    return Outcome([], {"groups": len(roles)})


def drawn(bench: Bench) -> Node:
    """Seeds of one group."""
    return _drawn(bench, reference(bench).stack, COUPLED, "drawn to one reference")


def _drawn(bench: Bench, its: Node, seeds: tuple[int, ...], title: str) -> Node:
    parents = {"activations": bench.rows, "reference": its}
    return reading("assigned", title, parents, bench.root, weight=WEIGHT, **bench.tied(seeds))


def _references(bench: Bench) -> list[Node]:
    """Of the other groups."""
    return [bench.tied_to((REFERENCE_SEEDS[0] + i,), None, f"reference {i}").stack for i in range(1, SEEDS)]


def _groups(bench: Bench) -> list[Node]:
    """One seed of each of the other groups."""
    of = enumerate(_references(bench), 1)
    return [_drawn(bench, its, (i + len(COUPLED),), f"drawn to reference {i}") for i, its in of]


def _across(bench: Bench) -> Node:
    parents = {f"group {i}": node for i, node in enumerate([drawn(bench), *_groups(bench)])}
    return reading("across_groups", "agreement between groups with references of their own", parents, bench.root)


def nodes(bench: Bench) -> list[Node]:
    """One group in full, four more with a seed each."""
    arms = [*reference(bench).nodes, *free(bench).nodes, drawn(bench)]
    return [bench.model, bench.rows, *arms, *_references(bench), *_groups(bench), _across(bench)]


def read(found: Found) -> Reading:
    """Agreement inside a group and between groups."""
    b = found.bench
    inside = legacy_pair_bootstrap(found.arrays(drawn(b), PAIRS)["pairs"], root=b.root)
    between = pair_mean(found.arrays(_across(b), ACROSS)["pairs"], unit="groups")
    return Reading(
        (Figure("mean_max_cos of coupled seeds", inside, COSINE),),
        (
            Figure("mean_max_cos between groups with references of their own", between, COSINE),
            Figure("mean_max_cos of untied seeds", pair_mean(found.pairs(free(b))), COSINE),
            Figure("explained variance of untied seeds", found.ev(free(b)), SHARE),
            Figure("explained variance of coupled seeds", found.estimate(drawn(b), "explained_variance"), SHARE),
        ),
        (near("the agreement", inside.value, 0.9986, 0.02), Check("the agreement", inside.value, "at least", 0.9)),
        (Check("agreement between groups less that inside one", between.value - inside.value, "at most", -0.2),),
    )


CLAIM = Claim(
    "T10",
    "A consistency objective makes dictionaries almost identical",
    "a published consistency experiment with one trained reference",
    (Figure("mean_max_cos of coupled seeds", 0.9986, COSINE),),
    "Every seed was drawn to the same reference, so that their agreement was put in. Groups with references of their "
    "own do not share it.",
    nodes,
    read,
)
