"""The studies themselves: functions that return what `husai run` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import signature

from pydantic import ValidationError, validate_call

from husai.errors import UserError, unknown
from husai.studies.calibrations.calibration import Calibration
from husai.studies.programmes.programme import Programme
from husai.studies.replays.replay import Replay
from husai.studies.study import Study
from husai.studies.surveys.survey import Survey

Runnable = Study | Survey | Calibration | Replay | Programme

RECIPES = {
    "quickstart": "husai.recipes.quickstart:study",
    "smoke": "husai.recipes.smoke:study",
    "architectures": "husai.recipes.architectures:study",
    "architectures-quick": "husai.recipes.architectures:quick",
    "phase4a": "husai.recipes.phase4a:study",
    "phase4b": "husai.recipes.phase4b:study",
    "phase4c": "husai.recipes.phase4c:study",
    "phase4d": "husai.recipes.phase4d:study",
    "calibrate": "husai.recipes.calibrate:study",
    "consistency": "husai.recipes.consistency:study",
    "ground_truth": "husai.recipes.ground_truth:study",
    "replay": "husai.recipes.replay:study",
    "programme": "husai.recipes.programme:study",
}


def recipe(name: str) -> Callable[..., Runnable]:
    """The function of a recipe.

    Raises:
        UserError: there is no recipe of that name.
    """
    if name not in RECIPES:
        raise unknown("study", name, RECIPES)
    module, _, function = RECIPES[name].partition(":")
    return getattr(import_module(module), function)


def made(name: str, assignments: Sequence[str] = ()) -> Runnable:
    """What a recipe returns, with each `path=value` applied: first the function's own parameters (`scale=quick`).

    Raises:
        UserError: no such recipe, no such field, or a value that does not fit.
    """
    function = recipe(name)
    own = {a.partition("=")[0].strip(): a.partition("=")[2].strip() for a in assignments}
    given = {key: value for key, value in own.items() if key in signature(function).parameters}
    try:
        declared = validate_call(function)(**given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UserError(f"--set {problem['loc'][0]}={problem['input']}: {problem['msg']}") from None
    return declared.override([a for a in assignments if a.partition("=")[0].strip() not in given])
