"""How long a plan will take and how much disk it needs: from a few real steps timed on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from husai.activations.source import CapturedSource, PlantedSource, SurrogateSource
from husai.models.config import PretrainConfig
from husai.models.pretrain import pretrain
from husai.saes.config import AnySAEConfig
from husai.saes.registry import architecture
from husai.studies.plan import Plan, plan
from husai.studies.preflight import width
from husai.studies.study import Study
from husai.training.config import TrainingConfig
from husai.training.engines.choose import choose
from husai.training.engines.engine import numbers
from husai.training.schedules import trunk_end
from husai.training.state import start

WARM_STEPS, TIMED_STEPS = 2, 6  # the first compiles, the second records a graph where there is one
PRETRAIN_STEPS = (3, 13)  # the difference is timed: the first step also imports
SECONDS_PER_MEASURE = 2.0  # of 5 seeds with 128 latents each
SECONDS_PER_REPORT = 5.0
SECONDS_PER_SEED_FOLDER = 0.1
SECONDS_PER_WORKER_START = 3.0
UNKNOWN_WIDTH = 1024  # of a user's file, which is not opened


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


def estimate(study: Study, workers: int) -> Estimate:
    """Time each distinct shape of step on this machine and add up, at the first budget and at the cap."""
    d_in = width(study.target) or UNKNOWN_WIDTH
    first, last = plan(study, study.budgets[0]), plan(study, study.budgets[-1])
    with one_thread():
        step_seconds, pretrain_step = _step_seconds(study, d_in), _pretrain_seconds(study)
    low = _costs(first, [study.budgets[0]], step_seconds, pretrain_step, d_in, early=True)
    high = _costs(last, study.budgets, step_seconds, pretrain_step, d_in, early=False)
    return Estimate(tuple(high), _wall(low, workers), _wall(high, workers), sum(c.bytes for c in high), workers)


def _wall(costs: list[Cost], workers: int) -> float:
    """The report comes last and alone; the rest is shared by the workers, but never faster than its longest part."""
    report = sum(c.seconds for c in costs if c.kind == "report")
    shared = [c.seconds for c in costs if c.kind != "report"]
    return max(sum(shared) / workers, max(shared)) + report + SECONDS_PER_WORKER_START


def _step_seconds(study: Study, d_in: int) -> dict[str, float]:
    """Seconds per step and seed of each arm."""
    return {arm.name: step_seconds(arm.sae, study.training, d_in) for arm in study.arms}


def step_seconds(sae: AnySAEConfig, training: TrainingConfig, d_in: int) -> float:
    """Seconds of one step of one seed, on rows that mean nothing."""
    engine, _ = choose(sae, training, labels_at=lambda step: torch.zeros(1, training.batch, dtype=torch.int64))
    x = torch.randn(1, training.batch, d_in, generator=torch.Generator().manual_seed(0))
    mlp = {name: torch.zeros(shape) for name, shape in architecture(sae).shapes(sae, d_in).items() if "mlp" in name}
    state = start(sae, training, d_in, (0,), root=0, rows_of=lambda seed: x[0], context=mlp)

    def run(steps: int) -> None:
        for _ in range(steps - 1):
            engine.step(state, x, training.lr)
        numbers(
            engine.step(state, x, training.lr)
        )  # a device has only been told what to do; its numbers are waited for

    run(WARM_STEPS)
    clock = time.perf_counter()
    run(TIMED_STEPS)
    return (time.perf_counter() - clock) / TIMED_STEPS


def _pretrain_seconds(study: Study) -> float:
    """Seconds per step of the model's training."""
    target = study.target
    if not isinstance(target, CapturedSource) or target.pretrain is None:
        return 0.0
    task, seconds = target.task.build(), []
    for steps in PRETRAIN_STEPS:
        data = target.pretrain.plain() | {"max_steps": steps, "eval_every": steps}
        clock = time.perf_counter()
        pretrain(PretrainConfig.parse(data), target.model, task, 0)
        seconds.append(time.perf_counter() - clock)
    return max(0.0, seconds[1] - seconds[0]) / (PRETRAIN_STEPS[1] - PRETRAIN_STEPS[0])


@contextmanager
def one_thread() -> Iterator[None]:
    """As in a worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
            measures = (1 + len(budgets)) * _measure_seconds(arm.sae, seeds)
            costs.append(Cost("measure", f"{source} {arm.name}", measures, 10**5))
    for arm in study.arms if made.frozen else ():
        seconds = budgets[-1] * 2 * steps[arm.name]
        costs.append(Cost("stack", f"frozen {arm.name}", seconds, 4 * 2 * arm.sae.d_sae * d_in * 20))
    folders = len(study.arms) * sum(len(made.seeds_of(source)) for source in made.sources)
    seconds = SECONDS_PER_REPORT + SECONDS_PER_SEED_FOLDER * folders
    return [*costs, Cost("report", "report and one folder per seed", seconds, 3 * 10**6 + 2 * 10**5 * folders)]


def _measure_seconds(sae: AnySAEConfig, seeds: int) -> float:
    """Every pair of seeds is compared, latent with latent."""
    return SECONDS_PER_MEASURE * seeds * (seeds - 1) / 20 * (sae.d_sae / 128) ** 2


def _steps_trained(training: TrainingConfig, budgets: list[int]) -> int:
    """Steps taken in all: one trunk to the last decay, and a decay for each budget."""
    all_budgets = [budgets[0] // 2, *budgets]
    return trunk_end(training, all_budgets[-1]) + sum(b - trunk_end(training, b) for b in all_budgets)


def _rows(study: Study, source: str) -> int:
    """Rows of a source (a guess of a million for a user's file)."""
    config: Any = study.positive if source.startswith("planted") else study.target
    while isinstance(config, SurrogateSource):
        config = config.of
    if isinstance(config, PlantedSource):
        return config.planted.n_rows
    if isinstance(config, CapturedSource):
        return config.task.max_rows or config.task.n_possible
    return 10**6
