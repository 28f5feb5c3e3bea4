"""T09: pinned decoder rows are read by encoder rows that were left as they had been drawn."""

from __future__ import annotations

import numpy as np

from husai.evals.fidelity import fidelity
from husai.events import report
from husai.saes.stack import SAEStack, load_stack
from husai.stability.metrics import mean_max_cos
from husai.statistics.intervals import pair_mean, unit_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.store.tensors import save_arrays
from husai.studies.measured import measured
from husai.studies.node import Node, Outcome, Work
from husai.studies.nodes.rows import open_rows
from husai.studies.plan import REFERENCE_SEEDS, Coupled
from husai.studies.replays.bench import Bench, Trained, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near
from husai.studies.replays.t02_trained_as_random import COSINE, SEEDS
from husai.studies.replays.t03_trade_off import SHARE
from husai.training.config import TrainingConfig
from husai.training.coupling.config import PinningConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.schedules import learning_rate
from husai.training.state import start

FRACTION = 0.75
PAIRS = "pairs.safetensors"


def decoder_only(work: Work) -> Outcome:
    """Train as the report did: decoder rows copied and held, their encoder rows held where they were drawn."""
    record = work.parent("pinned")
    training, seeds = TrainingConfig.parse(record.config["training"]), tuple(record.config["seeds"])
    root = record.config["root_seed"]
    rows = open_rows(work.folders["activations"], training, root)
    reference, pinned = (load_stack(work.folders[role] / "stack.safetensors") for role in ("reference", "pinned"))
    config = pinned.config
    copied_F = (pinned.parameters["W_dec"][0] == reference.parameters["W_dec"][0]).all(1)
    state, engine = start(config, training, rows.cache.d_in, seeds, root), ReferenceEngine(config, training)
    kept = {
        "W_dec": reference.parameters["W_dec"][0, copied_F].expand(len(seeds), -1, -1).clone(),
        "W_enc": state.parameters["W_enc"][:, copied_F].clone(),
    }
    feed = rows.feed(training, seeds, root, 1)
    for step in range(training.steps + 1):
        for name, tensor in kept.items():
            state.parameters[name][:, copied_F] = tensor
        if step < training.steps:
            report(work.id, work.title, step, training.steps)
            engine.step(state, feed.batch(step), learning_rate(training, training.steps, step))
    stack = SAEStack(config, seeds, state.parameters, reference.mean_D, reference.factor)
    ev = [fidelity(stack[i], rows.held_out()).explained_variance for i in range(len(seeds))]
    W_SFD = state.parameters["W_dec"].numpy()
    save_arrays(work.draft / PAIRS, {"pairs": np.array([[mean_max_cos(a, b) for b in W_SFD] for a in W_SFD])})
    return Outcome([measured("explained_variance", unit_mean(ev, unit="seeds"), SHARE, {})], {}, {"seeds": list(seeds)})


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
    return reading("decoder_only", "pinned in the decoder alone", parents, bench.root)


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
        (near("the agreement", agreement.value, 0.83, 0.05),),
        (
            Check("explained variance lost by pinning the decoder alone", untied.value - ev.value, "at least", 0.2),
            Check("explained variance lost by pinning both sides", untied.value - both.value, "at most", 0.1),
        ),
    )


CLAIM = Claim(
    "T09",
    "Pinning rows of a reference makes features stable at a moderate cost",
    "a published consistency experiment with pinned decoder rows",
    (Figure("mean_max_cos of pinned seeds", 0.83, COSINE),),
    "The agreement is that of copies. The cost was given as a ratio of total losses; the copied rows were read by random "
    "encoder rows, and little of the variance was left to explain the activations with.",
    nodes,
    read,
)
