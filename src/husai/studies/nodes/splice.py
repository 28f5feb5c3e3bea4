"""Node `splice`: what the model loses when the SAE's reconstruction takes the place of its activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from husai.errors import UserError
from husai.evals.splice import Spliced, mean_ablation, recovered, spliced, zero_ablation
from husai.models.transformer import Transformer
from husai.models.weights import load_model
from husai.saes.stack import SAEStack, load_stack
from husai.statistics.intervals import unit_mean
from husai.store.record import Measurement
from husai.studies.measured import measured, single
from husai.studies.node import Outcome, Work
from husai.studies.nodes.rows import open_rows
from husai.tasks.modular import ModularConfig
from husai.tasks.task import Task
from husai.training.config import TrainingConfig

EXACT = "computed on every row held out from both the model and the SAE"


@dataclass(frozen=True)
class Place:
    """Where a reconstruction is put, and the rows it is judged on."""

    model: Transformer
    task: Task
    hook_name: str
    rows: np.ndarray

    def run(self, replace: Callable[[Tensor], Tensor] | None) -> Spliced:
        """On rows that neither the model nor the SAE was trained on."""
        return spliced(self.model, self.task, self.rows, self.hook_name, replace)


def run(work: Work) -> Outcome:
    """Clean model, references and every seed; the frozen random decoder is the zero point of `recovered`."""
    stack = work.parent("stack").config
    held = open_rows(work.folders["activations"], TrainingConfig.parse(stack["training"]), stack["root_seed"])
    cache = held.cache
    task = ModularConfig.parse(work.parent("model").config["task"]).build()
    rows = np.intersect1d(task.test_index, cache.column("examples", held.held_out_index))
    if not len(rows):
        raise UserError("no row is held out from both the model and the SAE: lower train_fraction or raise held_out")
    model = load_model(work.folders["model"] / "model.safetensors")
    place = Place(model, task, cache.manifest.origin.hook_name, rows)
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
    return Outcome(made, {"rows": len(rows), "hook_name": place.hook_name})


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
    if name == "frozen":
        why = "the zero point is itself a mean of too few seeds for an interval"
        return single("loss_recovered", float(np.mean(known)), unit, scope, why, higher_is_better=True, null=name)
    return measured("loss_recovered", unit_mean(known, unit="seeds"), unit, scope, higher_is_better=True, null=name)
