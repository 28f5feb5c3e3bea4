"""T09: pinned decoder rows are read by encoder rows that were left as they had been drawn."""

from __future__ import annotations

import numpy as np

from husai.evals.fidelity import fidelity
from husai.saes.stack import SAEStack, load_stack
from husai.stability.metrics import mean_max_cos
from husai.statistics.intervals import pair_mean, unit_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.store.tensors import save_arrays
from husai.studies.coupled import REFERENCE_SEEDS, Coupled
from husai.studies.measured import measured
from husai.studies.node import Node, Outcome, Work
from husai.studies.nodes.rows import Rows
from husai.studies.replays.bench import Bench, Trained, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near
from husai.studies.replays.legacy_couplings import DecoderPinning, reference_of, trained_with
from husai.studies.replays.t02_trained_as_random import COSINE, SEEDS
from husai.studies.replays.t03_trade_off import SHARE
from husai.training.coupling.config import PinningConfig

FRACTION = 0.75
PAIRS = "pairs.safetensors"


def decoder_only(work: Work) -> Outcome:
    """Train as the report did."""
    reference = reference_of(work).parameters
    pinned = load_stack(work.folders["pinned"] / "stack.safetensors").parameters["W_dec"][0]
    copied_F = (pinned == reference["W_dec"][0]).all(1)
    coupling = DecoderPinning({name: t[0] for name, t in reference.items()}, copied_F)
    return outcome(work, *trained_with(work, coupling))


def outcome(work: Work, stack: SAEStack, rows: Rows) -> Outcome:
    """The SAEs, their pairs and what they explain."""
    stack.save(work.draft / "stack.safetensors")
    W_SFD = stack.parameters["W_dec"].numpy()
    save_arrays(work.draft / PAIRS, {"pairs": np.array([[mean_max_cos(a, b) for b in W_SFD] for a in W_SFD])})
    ev = [fidelity(stack[i], rows.held_out()).explained_variance for i in range(len(stack))]
    made = measured("explained_variance", unit_mean(ev, unit="seeds"), SHARE, {})
    return Outcome([made], {}, {"seeds": list(stack.seeds)})


def reference(bench: Bench) -> Trained:
    """A single SAE that others are tied to."""
    return bench.tied_to(REFERENCE_SEEDS, None, "the reference")


def free(bench: Bench) -> Trained:
    """The same seeds without it."""
    return bench.tied_to(tuple(range(SEEDS)), None, "untied SAEs")


def _both_sides(bench: Bench) -> Trained:
    coupled = Coupled(PinningConfig(fraction=FRACTION), reference(bench).stack)
    return bench.tied_to(tuple(range(SEEDS)), coupled, "pinned on both sides")


def _one_side(bench: Bench) -> Node:
    parents = {"activations": bench.rows, "reference": reference(bench).stack, "pinned": _both_sides(bench).stack}
    return reading(
        "decoder_only", "pinned in the decoder alone", parents, bench.root, **bench.tied(tuple(range(SEEDS)))
    )


def nodes(bench: Bench) -> list[Node]:
    """Pinned in both ways, and not pinned."""
    arms = (reference(bench), free(bench), _both_sides(bench))
    return [bench.model, bench.rows, *(node for arm in arms for node in arm.nodes), _one_side(bench)]


def read(found: Found) -> Reading:
    """Agreement that was put in, and what it costs."""
    b, node = found.bench, _one_side(found.bench)
    agreement = legacy_pair_bootstrap(found.arrays(node, PAIRS)["pairs"], root=b.root)
    ev, both, untied = found.estimate(node, "explained_variance"), found.ev(_both_sides(b)), found.ev(free(b))
    unpinned = pair_mean(found.pairs(free(b)))
    return Reading(
        (Figure("mean_max_cos of pinned seeds", agreement, COSINE),),
        (
            Figure("explained variance, decoder rows pinned", ev, SHARE),
            Figure("explained variance, encoder rows pinned too", both, SHARE),
            Figure("explained variance without pinning", untied, SHARE),
            Figure("mean_max_cos without pinning", unpinned, COSINE),
        ),
        (near("the agreement", agreement.value, 0.83, 0.05), Check("the agreement", agreement.value, "at least", 0.7)),
        (
            Check("explained variance lost by pinning the decoder alone", untied.value - ev.value, "at least", 0.2),
            Check("of this, not lost with encoder rows pinned too", both.value - ev.value, "at least", 0.1),
        ),
    )


CLAIM = Claim(
    "T09",
    "Pinning rows of a reference makes features stable at a moderate cost",
    "a published consistency experiment with pinned decoder rows",
    (Figure("mean_max_cos of pinned seeds", 0.83, COSINE),),
    "The agreement is that of copies. The cost was given as a ratio of total losses; the copied rows were read by "
    "random encoder rows, and little of the variance was left to explain the activations with.",
    nodes,
    read,
)
