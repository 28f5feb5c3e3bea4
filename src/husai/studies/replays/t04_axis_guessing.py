"""T04: the best dictionary size of a sweep is the one at which a rule swapped the axes."""

from __future__ import annotations

import numpy as np

from husai.saes.stack import load_stack
from husai.stability.nulls import floor_mean_max_cos
from husai.statistics.intervals import pair_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.store.tensors import save_arrays
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, Trained, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near
from husai.studies.replays.legacy_formulas import mean_max_cos_by_guess
from husai.studies.replays.t02_trained_as_random import COSINE, SEEDS

GUESSED = "guessed.safetensors"


def guessed_axes(work: Work) -> Outcome:
    """Every pair of a stack with axes that are guessed from the shape."""
    stack = load_stack(work.folders["stack"] / "stack.safetensors")
    W_SFD = stack.parameters["W_dec"].numpy()
    pairs = np.array([[mean_max_cos_by_guess(a, b) for b in W_SFD] for a in W_SFD])
    save_arrays(work.draft / GUESSED, {"pairs": pairs})
    return Outcome([], {}, {"seeds": list(stack.seeds)})


def _narrow(bench: Bench) -> Trained:
    s = bench.scale
    return bench.as_published(s.k[0], s.search_steps, SEEDS, d_sae=s.narrow)


def _guess(bench: Bench) -> Node:
    narrow = _narrow(bench)
    return reading("guessed_axes", "narrow SAEs, axes guessed", {"stack": narrow.stack}, bench.root)


def nodes(bench: Bench) -> list[Node]:
    """SAEs with fewer latents than dimensions, and their guessed reading."""
    return [bench.model, bench.rows, *_narrow(bench).nodes, _guess(bench)]


def read(found: Found) -> Reading:
    """What the rule read, what random decoders give under it, and what is there."""
    b = found.bench
    d, n = b.scale.source.model.d_model, b.scale.narrow
    guessed = legacy_pair_bootstrap(found.arrays(_guess(b), GUESSED)["pairs"], root=b.root)
    right, floor = pair_mean(found.pairs(_narrow(b))), floor_mean_max_cos(d, n, n).value
    swapped = floor_mean_max_cos(n, d, d).value
    lift, published = right.value - floor, 0.349 - 0.228
    return Reading(
        (
            Figure(f"mean_max_cos at {n} latents, axes guessed", guessed, COSINE),
            Figure(f"random decoders of {n} rows", floor, COSINE, "a closed form"),
        ),
        (
            Figure(f"mean_max_cos at {n} latents, axes declared", right, COSINE, null=f"floor {floor:.4f}"),
            Figure("floor of the swapped shape", swapped, COSINE, "a closed form"),
            Figure("lift over the floor of the right shape", lift, COSINE, "a difference to a constant"),
        ),
        (near("the guessed reading", guessed.value, 0.349, 0.02), near("the floor", floor, 0.228, 0.005),
         Check("guessed reading less the floor", guessed.value - floor, "at least", 0.05)),
        (
            Check("distance of the guessed reading from the floor of the swapped shape",
                  abs(guessed.value - swapped), "at most", published / 2),
            Check("lift when axes are declared", lift, "at most", published / 2),
        ),
    )  # fmt: skip


CLAIM = Claim(
    "T04",
    "The best lift over random is at few latents",
    "a published sweep over dictionary sizes",
    (
        Figure("mean_max_cos at 64 latents, axes guessed", 0.349, COSINE),
        Figure("random decoders of 64 rows", 0.228, COSINE),
    ),
    "A rule took the longer axis for the features. With fewer latents than dimensions it compared dimensions; what it "
    "read is what random arrays of the swapped shape give.",
    nodes,
    read,
)
