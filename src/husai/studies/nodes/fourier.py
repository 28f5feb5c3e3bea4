"""Node `fourier`: do the target's latents lie in the Fourier planes of modular addition?

Grokked addition is circular: inside a plane every rotation of a set of directions reconstructs alike, so that single
latents need not be identifiable even where their planes are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from husai.activations.cache import ActivationCache
from husai.evals.fourier import best_plane, chance, in_span, planes
from husai.saes.stack import load_stack
from husai.statistics.intervals import unit_mean
from husai.store.record import Measurement
from husai.store.tensors import save_arrays
from husai.studies.measured import measured, single
from husai.studies.node import Outcome, Work
from husai.tasks.modular import ModularConfig

SHOWN = 6
CHANCE_ROWS = 4096
ENERGY = 0.01  # of the activations' variance: planes that hold less are not the model's


@torch.no_grad()
def run(work: Work) -> Outcome:
    """Planes of the activations, the share of each alive row in its best plane, and the same for random rows."""
    task = ModularConfig.parse(work.parent("model").config["task"]).build()
    cache = ActivationCache(work.folders["activations"] / "rows")
    residues = task.labels_N[cache.column("examples")]
    x_ND = cache.to_array()
    everything = planes(x_ND, residues, task.n_classes)
    fourier = everything.above(ENERGY)
    stack = load_stack(work.folders["stack"] / "stack.safetensors")
    alive = [stack[i].codes(torch.from_numpy(x_ND)).fired().numpy() for i in range(len(stack))]
    decoders = stack.parameters["W_dec"].numpy()
    shares, frequencies = zip(*(best_plane(W, fourier) for W in decoders), strict=True)
    spans = [in_span(W, fourier) for W in decoders]
    save_arrays(
        work.draft / "planes.safetensors", {"share_SF": np.stack(shares), "frequency_SF": np.stack(frequencies)}
    )
    mean, sd = chance(fourier, CHANCE_ROWS, work.fields["root_seed"])
    null = f"random rows against the same planes: {mean:.4f} (sd of one row {sd:.4f})"
    made = [
        *_overlap("fourier_overlap", "share of a row's squared norm in its best plane", shares, alive, null),
        *_overlap("fourier_span", "share of a row's squared norm in the span of the planes", spans, alive, ""),
        single("fourier_overlap.chance", mean, "the same for random unit rows", {}, f"{CHANCE_ROWS} random rows"),
        *_energies(everything.energy_W, everything.frequencies),
    ]
    facts = {"plane_dimensions": 2, "modulus": task.n_classes, "planes": [int(w) for w in fourier.frequencies]}
    return Outcome(made, facts)


def _overlap(
    name: str, what: str, shares: Sequence[np.ndarray], alive: list[np.ndarray], null: str
) -> list[Measurement]:
    """Mean over alive latents (no scope) and over all."""
    made = []
    for population, masks in (("", alive), ("all", [np.ones_like(a) for a in alive])):
        values = [float(s[mask].mean()) for s, mask in zip(shares, masks, strict=True) if mask.any()]
        unit = f"{what}, mean over {population or 'alive'} latents; planes with at least {ENERGY:.0%} of the variance"
        scope = {"population": population} if population else {}
        made.append(measured(name, unit_mean(values, unit="seeds"), unit, scope, null=null))
    return made


def _energies(energy_W: np.ndarray, frequencies: np.ndarray) -> list[Measurement]:
    exact, unit = "computed on every row", "share of the activations' variance"
    top = np.argsort(-energy_W, kind="stable")[:SHOWN]
    rows = [(str(frequencies[i]), float(energy_W[i])) for i in top] + [("all", float(energy_W.sum()))]
    return [single("frequency_energy", energy, unit, {"frequency": name}, exact) for name, energy in rows]
