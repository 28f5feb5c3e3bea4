"""T02: trained dictionaries agree no more than random ones, after too few steps to have left their start."""

from __future__ import annotations

import numpy as np

from husai.saes.parameters import unit_rows
from husai.saes.stack import load_stack
from husai.stability.metrics import mean_max_cos
from husai.statistics.intervals import pair_mean, unit_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.store.record import Measurement
from husai.store.tensors import load_arrays, save_arrays
from husai.studies.measured import measured
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, Trained, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, low, near
from husai.studies.replays.legacy_formulas import raw_draw

COSINE = "cosine"
DRAWS = "draws.safetensors"
SEEDS = 5


def own_start(work: Work) -> Outcome:
    """Cosine of every decoder row with its own start, mean over rows, per seed."""
    stack = load_stack(work.folders["stack"] / "stack.safetensors")
    start_SFD = load_arrays(work.folders["stack"] / "trajectory.safetensors")["step.0"]
    now_SFD = unit_rows(stack.parameters["W_dec"]).numpy()
    values = (now_SFD * start_SFD / np.linalg.norm(start_SFD, axis=-1, keepdims=True)).sum(-1).mean(1)
    made = measured("cosine_to_init", unit_mean(values, unit="seeds"), "cosine, all rows", {})
    return Outcome([made], {}, {"seeds": list(stack.seeds)})


def random_draws(work: Work) -> Outcome:
    """Agreement of decoders that are plain draws, `randn(d, n)` with features as columns."""
    first, count, d, n = (work.fields[name] for name in ("first_seed", "draws", "d", "n"))
    drawn = [raw_draw(first + i, d, n).T for i in range(count)]
    pairs = np.array([[mean_max_cos(a, b) for b in drawn] for a in drawn])
    save_arrays(work.draft / DRAWS, {"pairs": pairs})
    return Outcome([_described(pairs)])


def _described(pairs_SS: np.ndarray) -> Measurement:
    return measured("mean_max_cos", pair_mean(pairs_SS, unit="draws"), "cosine", {}, artefacts=(DRAWS,))


def _trained(bench: Bench) -> Trained:
    s = bench.scale
    return bench.as_published(s.k[1], s.wide_steps, SEEDS, d_sae=s.wide)


def _longer(bench: Bench) -> Trained:
    s = bench.scale
    return bench.long_enough(s.k[1], s.wide_longer, SEEDS, d_sae=s.wide)


def _random(bench: Bench) -> Node:
    d, n = bench.scale.source.model.d_model, bench.scale.wide
    title = f"{SEEDS} random decoders of {n} rows"
    return reading("random_draws", title, {}, bench.root, first_seed=1000, draws=SEEDS, d=d, n=n)


def _start(trained: Trained, bench: Bench) -> Node:
    title = f"distance from the start: {trained.stack.title}"
    return reading("own_start", title, {"stack": trained.stack}, bench.root)


def nodes(bench: Bench) -> list[Node]:
    """Few steps, more steps, and draws."""
    few, more = _trained(bench), _longer(bench)
    return [bench.model, bench.rows, *few.nodes, *more.nodes, _random(bench), _start(few, bench), _start(more, bench)]


def read(found: Found) -> Reading:
    """Agreement as it was compared, then how far the rows had come."""
    b = found.bench
    few, more = _trained(b), _longer(b)
    trained = legacy_pair_bootstrap(found.pairs(few), root=b.root)
    random = pair_mean(found.arrays(_random(b), DRAWS)["pairs"], unit="draws")
    further = pair_mean(found.pairs(more))
    start = found.estimate(_start(few, b), "cosine_to_init")
    steps = b.scale.wide_steps
    return Reading(
        (Figure("trained, mean_max_cos", trained, COSINE), Figure("random, mean_max_cos", random, COSINE)),
        (
            Figure(f"cosine of a row with its own start after {steps} steps", start, COSINE),
            Figure(f"trained for {b.scale.wide_longer} steps at a higher rate, mean_max_cos", further, COSINE),
            Figure(
                "of these, cosine of a row with its own start",
                found.estimate(_start(more, b), "cosine_to_init"),
                COSINE,
            ),
        ),
        (
            near("the trained one", trained.value, 0.3001, 0.002),
            near("the random one", random.value, 0.2988, 0.002),
            Check("difference of the two", abs(trained.value - random.value), "at most", 0.01),
        ),
        (
            Check("cosine of a row with its own start", start.value, "at least", 0.9),
            Check("lower bound of more steps less few", low(further) - trained.value, "at least", 0.0),
        ),
    )


CLAIM = Claim(
    "T02",
    "Trained SAEs agree no more than random dictionaries",
    "a published report on SAE stability, repeated in its experiment programme",
    (Figure("trained, mean_max_cos", 0.3001, COSINE), Figure("random, mean_max_cos", 0.2988, COSINE)),
    "Training had hardly begun: every row still pointed where it was drawn. What was compared with random dictionaries "
    "were random dictionaries.",
    nodes,
    read,
)
