"""How long a plan will take and how much disk it needs: from a few real steps timed on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from husai.activations.source import CapturedSource, ExternalSource, PlantedSource
from husai.models.config import PretrainConfig
from husai.models.pretrain import pretrain
from husai.saes.config import AnySAEConfig
from husai.studies.plan import Plan, plan
from husai.studies.study import Study
from husai.training.config import TrainingConfig
from husai.training.engines.choose import choose
from husai.training.schedules import trunk_end
from husai.training.state import start

TIMED_STEPS = 6
PRETRAIN_STEPS = 10
SECONDS_PER_MEASURE = 2.0
SECONDS_PER_REPORT = 20.0
SECONDS_PER_WORKER_START = 4.0


@dataclass(frozen=True)
class Cost:
    """Seconds of work of one node (one thread), and bytes on disk."""

    kind: str
    title: str
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Estimate:
    """A plan's costs; `low` when the first budget converges and the model stops early, `high` at both caps."""

    costs: tuple[Cost, ...]
    low_seconds: float
    high_seconds: float
    bytes: int
    workers: int


def estimate(study: Study, workers: int, d_in: int) -> Estimate:
    """Time each distinct shape of step on this machine and add up, at the first budget and at the cap."""
    first, last = plan(study, study.budgets[0]), plan(study, study.budgets[-1])
    step_seconds = _step_seconds(study, d_in)
    pretrain_step = _pretrain_seconds(study)
    low = _costs(first, [study.budgets[0]], step_seconds, pretrain_step, d_in, early=True)
    high = _costs(last, study.budgets, step_seconds, pretrain_step, d_in, early=False)
    return Estimate(tuple(high), _wall(low, workers), _wall(high, workers), sum(c.bytes for c in high), workers)


def _wall(costs: list[Cost], workers: int) -> float:
    """The model comes first and alone; the rest is shared by the workers."""
    model = sum(c.seconds for c in costs if c.kind == "model")
    rest = sum(c.seconds for c in costs if c.kind != "model")
    return model + rest / workers + SECONDS_PER_WORKER_START + SECONDS_PER_REPORT


def _step_seconds(study: Study, d_in: int) -> dict[str, float]:
    """Seconds per step and seed of each arm."""
    return {arm.name: _timed(arm.sae, study.training, d_in) for arm in study.arms}


def _timed(sae: AnySAEConfig, training: TrainingConfig, d_in: int) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine, _ = choose(sae, training)
    state = start(sae, training, d_in, (0,), root=0)
    x = torch.randn(1, training.batch, d_in, generator=torch.Generator().manual_seed(0))
    engine.step(state, x, training.lr)
    clock = time.perf_counter()
    for _ in range(TIMED_STEPS):
        engine.step(state, x, training.lr)
    torch.set_num_threads(threads)
    return (time.perf_counter() - clock) / TIMED_STEPS


def _pretrain_seconds(study: Study) -> float:
    """Seconds per step of the model's training."""
    target = study.target
    if not isinstance(target, CapturedSource) or target.pretrain is None:
        return 0.0
    data = target.pretrain.plain() | {"max_steps": PRETRAIN_STEPS, "eval_every": PRETRAIN_STEPS}
    task = target.task.build()
    clock = time.perf_counter()
    pretrain(PretrainConfig.parse(data), target.model, task, 0)
    return (time.perf_counter() - clock) / PRETRAIN_STEPS


def _costs(
    made: Plan, budgets: list[int], steps: dict[str, float], pretrain_step: float, d_in: int, *, early: bool
) -> list[Cost]:
    study, costs = made.study, []
    target = study.target
    if made.model is not None and isinstance(target, CapturedSource) and target.pretrain is not None:
        p = target.pretrain
        count = p.eval_every * p.hold + p.extra_steps if early else p.max_steps
        costs.append(Cost("model", made.model.title, count * pretrain_step, 4 * 10**6))
    costs += [Cost("activations", n.title, 1.0, 4 * d_in * _rows(study, name)) for name, n in made.activations.items()]
    for source in made.sources:
        for arm in study.arms:
            seeds, trained = len(made.seeds_of(source)), _steps_trained(study.training, budgets)
            size = 4 * seeds * arm.sae.d_sae * d_in * 24 * (1 + len(budgets))
            costs.append(Cost("stack", f"{source} {arm.name}", trained * seeds * steps[arm.name], size))
            measures = (1 + len(budgets)) * SECONDS_PER_MEASURE
            costs.append(Cost("measure", f"{source} {arm.name}", measures, 2 * 10**6))
    for arm in study.arms if made.frozen else ():
        seconds = budgets[-1] * 2 * steps[arm.name]
        costs.append(Cost("stack", f"frozen {arm.name}", seconds, 4 * 2 * arm.sae.d_sae * d_in * 20))
    return costs


def _steps_trained(training: TrainingConfig, budgets: list[int]) -> int:
    """Steps taken in all: one trunk to the last decay, and a decay for each budget."""
    all_budgets = [budgets[0] // 2, *budgets]
    return trunk_end(training, all_budgets[-1]) + sum(b - trunk_end(training, b) for b in all_budgets)


def _rows(study: Study, source: str) -> int:
    """Rows of a source (a guess of a million for a user's file)."""
    config: Any = study.positive if source.startswith("planted") else study.target
    if isinstance(config, PlantedSource):
        return config.planted.n_rows
    if isinstance(config, CapturedSource):
        return config.task.max_rows or config.task.n_possible
    return 10**6


def width(study: Study) -> int:
    """d_in of the target, before anything ran."""
    target = study.target
    if isinstance(target, CapturedSource):
        return target.model.d_mlp if "mlp.hook" in target.hook_name else target.model.d_model
    if isinstance(target, PlantedSource):
        return target.planted.d_in
    if isinstance(target, ExternalSource) and target.d_in:
        return target.d_in
    return 1024
