"""What of a survey can be run here: arms whose trainer is not installed are left out, and that is said in words."""

from __future__ import annotations

from dataclasses import dataclass

from husai.errors import UserError
from husai.studies import trained_by
from husai.studies.surveys.survey import Survey

Key = tuple[str, str]  # setting and arm


@dataclass(frozen=True)
class Here:
    """The survey without arms that cannot run here; of each of them, in words, why. Its claims are all kept."""

    survey: Survey
    not_run: dict[Key, str]


def here(survey: Survey) -> Here:
    """What can be run.

    Raises:
        UserError: a setting has no other arm.
    """
    if all(arm.trained_by == "husai" for setting in survey.settings for arm in setting.arms):
        return Here(survey, {})
    why, not_run, settings = trained_by.why_not(), {}, []
    for setting in survey.settings:
        out = [arm.name for arm in setting.arms if why and arm.trained_by == "saelens"]
        if len(out) == len(setting.arms):
            raise UserError(f"{setting.name}: SAELens is to train every arm, and {why}")
        not_run |= {(setting.name, name): f"{setting.name} {name}: not run: {why}" for name in out}
        arms = tuple(arm for arm in setting.arms if arm.name not in out)
        settings.append(setting.model_copy(update={"arms": arms}))
    return Here(survey.model_copy(update={"settings": tuple(settings)}), not_run)
