"""How long a survey will take: from a few real steps of every arm, timed on this machine."""

from __future__ import annotations

from husai.studies.estimate import SECONDS_PER_REPORT, UNKNOWN_WIDTH, one_thread, step_seconds
from husai.studies.preflight import width
from husai.studies.survey import Setting, Survey
from husai.studies.survey_plan import seeds_of, sources_of
from husai.training.knobs import SEARCHED, at_l0, with_value
from husai.training.schedules import trunk_end

TRAININGS_PER_SEARCH = 6  # three values, two seeds
SECONDS_PER_MODEL = 60.0
SECONDS_PER_ARM = 1.0  # measuring it


def survey_seconds(survey: Survey, workers: int) -> float:
    """Wall seconds at the first budgets."""
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
        total += step_seconds(sae, setting.training, d_in) * (each * saes + searches) + SECONDS_PER_ARM
    return total
