"""How long a survey will take: from a few real steps of every arm, timed on this machine."""

from __future__ import annotations

import time

import torch

from husai.saes.config import AnySAEConfig
from husai.studies.estimate import (
    SECONDS_PER_REPORT,
    TIMED_STEPS,
    UNKNOWN_WIDTH,
    WARM_STEPS,
    one_thread,
    step_seconds,
)
from husai.studies.here import here
from husai.studies.preflight import width
from husai.studies.surveys.plan import seeds_of, sources_of
from husai.studies.surveys.survey import Setting, Survey
from husai.training.config import TrainingConfig
from husai.training.knobs import SEARCHED, at_l0, with_value
from husai.training.saelens import one_step, trainer_of
from husai.training.schedules import trunk_end

TRAININGS_PER_SEARCH = 6  # three values, two seeds
SECONDS_PER_MODEL = 60.0
SECONDS_PER_ARM = 1.0  # measuring it


def survey_seconds(survey: Survey, workers: int) -> float:
    """Wall seconds at the first budgets, of what can be run here."""
    survey = here(survey).survey
    with one_thread():
        shared = sum(_setting(setting) for setting in survey.settings)
    return shared / workers + SECONDS_PER_REPORT + sum(SECONDS_PER_MODEL for s in survey.settings if s.random_models)


def _setting(setting: Setting) -> float:
    d_in, steps = width(setting.source) or UNKNOWN_WIDTH, setting.training.steps
    each = steps + (steps // 2 - trunk_end(setting.training, steps // 2))  # a decay for the budget and one for its half
    saes = sum(len(seeds_of(setting, source)) for source in sources_of(setting))
    total = 0.0
    for arm in setting.arms:
        exact = None if arm.l0 is None else at_l0(arm.sae, arm.l0)
        searched = arm.l0 is not None and exact is None
        sae = exact or (
            with_value(arm.sae, SEARCHED[arm.sae.kind].start(arm.sae, arm.l0 or 1)) if searched else arm.sae
        )
        searches = TRAININGS_PER_SEARCH * min(3, len(sources_of(setting))) * steps if searched else 0
        if arm.trained_by == "saelens":  # two whole trainings, for the budget and for its half
            total += _saelens_step_seconds(sae, setting.training, d_in) * (steps + steps // 2) * saes + SECONDS_PER_ARM
            continue
        total += step_seconds(sae, setting.training, d_in) * (each * saes + searches) + SECONDS_PER_ARM
    return total


def _saelens_step_seconds(sae: AnySAEConfig, training: TrainingConfig, d_in: int) -> float:
    """Seconds of one of SAELens' steps, on rows that mean nothing."""
    x_BD = torch.randn(training.batch, d_in, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        trainer = trainer_of(sae, training, d_in)
        for _ in range(WARM_STEPS):
            one_step(trainer, x_BD)
        clock = time.perf_counter()
        for _ in range(TIMED_STEPS):
            one_step(trainer, x_BD)
        return (time.perf_counter() - clock) / TIMED_STEPS
