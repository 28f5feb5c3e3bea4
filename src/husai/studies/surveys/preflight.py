"""What can be known to be wrong with a survey before anything runs."""

from __future__ import annotations

from husai.errors import UserError
from husai.saes.config import AnySAEConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.registry import architecture
from husai.statistics.estimate import MIN_UNITS
from husai.studies.here import here
from husai.studies.nodes.rows import check_starts
from husai.studies.preflight import width
from husai.studies.surveys.plan import seeds_of, sources_of
from husai.studies.surveys.survey import Survey, SurveyArm
from husai.training.knobs import SEARCHED, at_l0, with_value


def check_survey(survey: Survey) -> list[str]:
    """Refuse now what would otherwise fail after the model has been trained; returns warnings.

    Raises:
        UserError: unknown hook, a position or file that does not exist, sizes that cannot work, an L0 that the
            architecture's own knob cannot give, more seeds than there are parts of rows to start from, a setting none
            of whose arms can be trained here.
    """
    found = list(here(survey).not_run.values())
    for setting in survey.settings:
        d_in = width(setting.source)
        for arm in setting.arms:
            name = f"{setting.name} {arm.name}"
            try:
                config = _exact(arm)
                for source in sources_of(setting) if architecture(config).needs_rows else ():
                    check_starts(seeds_of(setting, source))
                found += [f"{name}: {text}" for text in check_sizes(config, d_in)] if d_in is not None else []
            except UserError as error:
                raise UserError(f"{name}: {error}") from None
        if setting.seeds < MIN_UNITS:
            found.append(f"{setting.name}: {setting.seeds} seeds: below {MIN_UNITS} there is no interval and no rank")
    return list(dict.fromkeys(found))


def _exact(arm: SurveyArm) -> AnySAEConfig:
    """As it is trained, or as its search begins."""
    if arm.l0 is None:
        return arm.sae
    return at_l0(arm.sae, arm.l0) or with_value(arm.sae, SEARCHED[arm.sae.kind].start(arm.sae, arm.l0))
