"""The studies themselves: functions that return a `Study`, a `Survey` or a `Replay`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from husai.errors import unknown
from husai.studies.replay import Replay
from husai.studies.study import Study
from husai.studies.survey import Survey

RECIPES = {
    "quickstart": "husai.recipes.quickstart:study",
    "smoke": "husai.recipes.smoke:study",
    "architectures": "husai.recipes.architectures:study",
    "architectures-quick": "husai.recipes.architectures:quick",
    "replay": "husai.recipes.replay:study",
    "replay-quick": "husai.recipes.replay:quick",
}


def recipe(name: str) -> Callable[[], Study | Survey | Replay]:
    """The function of a recipe.

    Raises:
        UserError: there is no recipe of that name.
    """
    if name not in RECIPES:
        raise unknown("study", name, RECIPES)
    module, _, function = RECIPES[name].partition(":")
    return getattr(import_module(module), function)
