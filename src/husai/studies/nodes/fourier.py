"""Node `fourier`: do the target's latents lie in the Fourier planes of modular addition?

Grokked addition is circular: inside a plane every rotation of a set of directions reconstructs alike, so that single
latents need not be identifiable even where their planes are.
"""

from __future__ import annotations

import numpy as np

from husai.activations.cache import ActivationCache
from husai.evals.fourier import best_plane, chance, planes
from husai.saes.stack import load_stack
from husai.statistics.intervals import unit_mean
from husai.store.record import Measurement
from husai.store.tensors import save_arrays
from husai.studies.measured import measured, single
from husai.studies.node import Outcome, Work
from husai.tasks.modular import ModularConfig

SHOWN = 6
CHANCE_ROWS = 4096


def run(work: Work) -> Outcome:
    """Planes of the activations, the share of each alive row in its best plane, and the same for random rows."""
    task = ModularConfig.parse(work.parent("model").config["task"]).build()
    cache = ActivationCache(work.folders["activations"] / "rows")
    residues = task.labels_N[cache.column("examples")]
    fourier = planes(cache.to_array(), residues, task.n_classes)
    stack = load_stack(work.folders["stack"] / "stack.safetensors")
    decoders = stack.parameters["W_dec"].numpy()
    shares, frequencies = zip(*(best_plane(W, fourier) for W in decoders), strict=True)
    save_arrays(
        work.draft / "planes.safetensors", {"share_SF": np.stack(shares), "frequency_SF": np.stack(frequencies)}
    )
    mean, sd = chance(fourier, CHANCE_ROWS, work.fields["root_seed"])
    made = [
        measured(
            "fourier_overlap",
            unit_mean([float(s.mean()) for s in shares], unit="seeds"),
            "share of a row's squared norm in its best plane, mean over latents",
            {},
            higher_is_better=None,
            null=f"random rows against the same planes: {mean:.4f} (sd of one row {sd:.4f})",
            artefacts=("planes.safetensors",),
        ),
        single("fourier_overlap.chance", mean, "the same for random unit rows", {}, f"{CHANCE_ROWS} random rows"),
        *_energies(fourier.energy_W, fourier.frequencies),
    ]
    return Outcome(made, {"plane_dimensions": 2, "modulus": task.n_classes})


def _energies(energy_W: np.ndarray, frequencies: np.ndarray) -> list[Measurement]:
    exact, unit = "computed on every row", "share of the activations' variance"
    top = np.argsort(-energy_W, kind="stable")[:SHOWN]
    rows = [(str(frequencies[i]), float(energy_W[i])) for i in top] + [("all", float(energy_W.sum()))]
    return [single("frequency_energy", energy, unit, {"frequency": name}, exact) for name, energy in rows]
