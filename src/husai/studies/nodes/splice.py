"""Node `splice`: what the model loses when the SAE's reconstruction takes the place of its activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from husai.activations.cache import ActivationCache
from husai.evals.splice import Spliced, mean_ablation, recovered, spliced, zero_ablation
from husai.models.transformer import Transformer
from husai.models.weights import load_model
from husai.saes.stack import SAEStack, load_stack
from husai.statistics.intervals import unit_mean
from husai.store.record import Measurement
from husai.studies.measured import measured, single
from husai.studies.node import Outcome, Work
from husai.tasks.modular import ModularConfig
from husai.tasks.task import Task

EXACT = "computed on every held-out row of the task"


@dataclass(frozen=True)
class Place:
    """Where a reconstruction is put, and the rows it is judged on."""

    model: Transformer
    task: Task
    hook_name: str

    def run(self, replace: Callable[[Tensor], Tensor] | None) -> Spliced:
        """On the task's held-out rows."""
        return spliced(self.model, self.task, self.task.test_index, self.hook_name, replace)


def run(work: Work) -> Outcome:
    """Clean model, references and every seed; the frozen random decoder is the zero point of `recovered`."""
    cache = ActivationCache(work.folders["activations"] / "rows")
    task = ModularConfig.parse(work.parent("model").config["task"]).build()
    place = Place(load_model(work.folders["model"] / "model.safetensors"), task, cache.manifest.origin.hook_name)
    mean = torch.from_numpy(cache.mean_D.astype(np.float32))
    clean = place.run(None)
    references = {"zero": place.run(zero_ablation), "mean": place.run(mean_ablation(mean))}
    made = [*_described("clean", clean)]
    for name, result in references.items():
        made += _described(name, result)
    frozen = None
    if "frozen" in work.folders:
        frozen = _stack(place, load_stack(work.folders["frozen"] / "stack.safetensors"))
        made += _averaged("frozen", frozen)
    seeds = _stack(place, load_stack(work.folders["stack"] / "stack.safetensors"))
    made += _averaged("sae", seeds)
    zero_points = {name: result.cross_entropy for name, result in references.items()}
    if frozen is not None:
        zero_points["frozen"] = float(np.mean([f.cross_entropy for f in frozen]))
    made += [_recovered(name, point, clean, seeds) for name, point in zero_points.items()]
    return Outcome(made, {"rows": len(task.test_index), "hook_name": place.hook_name})


def _stack(place: Place, stack: SAEStack) -> list[Spliced]:
    return [place.run(stack[i]) for i in range(len(stack))]


def _described(name: str, result: Spliced) -> list[Measurement]:
    scope, more = {"replacement": name}, {"n": result.n, "n_unit": "rows"}
    return [
        single("cross_entropy", result.cross_entropy, "nats", scope, EXACT, higher_is_better=False, **more),
        single("kl", result.kl, "nats, KL(clean || replaced)", scope, EXACT, higher_is_better=False, **more),
        single("accuracy", result.accuracy, "share of rows", scope, EXACT, higher_is_better=True, **more),
    ]


def _averaged(name: str, results: list[Spliced]) -> list[Measurement]:
    scope = {"replacement": name}
    rows = [
        ("cross_entropy", [r.cross_entropy for r in results], "nats", False),
        ("kl", [r.kl for r in results], "nats, KL(clean || replaced)", False),
        ("accuracy", [r.accuracy for r in results], "share of rows", True),
    ]
    return [
        measured(metric, unit_mean(values, unit="seeds"), unit, scope, higher_is_better=better)
        for metric, values, unit, better in rows
    ]


def _recovered(name: str, zero_point: float, clean: Spliced, seeds: list[Spliced]) -> Measurement:
    """`(reference - spliced) / (reference - clean)` in cross-entropy, over seeds."""
    values = [recovered(s.cross_entropy, clean.cross_entropy, zero_point) for s in seeds]
    scope, unit = {"zero_point": name}, "1 = as good as clean, 0 = as bad as the zero point"
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return single("loss_recovered", None, unit, scope, "the zero point is no worse than the clean model")
    return measured("loss_recovered", unit_mean(known, unit="seeds"), unit, scope, higher_is_better=True, null=name)
