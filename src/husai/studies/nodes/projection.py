"""Node `projection`: decoder projections of every seed of a stack, on held-out rows."""

from __future__ import annotations

from husai.evals.decoder_projection import decoder_projection
from husai.saes.stack import load_stack
from husai.store.record import Measurement
from husai.studies.existing.group import over_seeds
from husai.studies.measured import single
from husai.studies.node import Outcome, Work
from husai.studies.nodes.rows import open_rows
from husai.training.config import TrainingConfig

SCORE = "decoder_projection"


def run(work: Work) -> Outcome:
    """s_n and c_dec of each seed, and their means."""
    record = work.parent("stack")
    training = TrainingConfig.parse(record.config["training"])
    x_ND = open_rows(work.folders["activations"], training, record.config["root_seed"]).held_out()
    stack = load_stack(work.folders["stack"] / "stack.safetensors")
    found = [decoder_projection(stack[i], x_ND) for i in range(len(stack))]
    n, rows = found[0].n, found[0].rows
    unit = f"projection of scaled rows; the largest but {n} of a row's latents, {rows} held-out rows"
    made = _each(SCORE, [f.s_n for f in found], unit, stack.seeds)
    made += _each("decoder_cosine", [f.c_dec for f in found], "mean absolute cosine of two latents", stack.seeds)
    return Outcome(made, {"n": n, "rows": rows}, {"seeds": list(stack.seeds)})


def _each(name: str, values: list[float], unit: str, seeds: tuple[int, ...]) -> list[Measurement]:
    each = [
        single(name, value, unit, {"seed": str(seed)}, "one seed", higher_is_better=False)
        for seed, value in zip(seeds, values, strict=True)
    ]
    return [*each, over_seeds(name, list(values), unit, {}, False)]
