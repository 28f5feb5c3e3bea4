"""The studies themselves: functions that return a `Study` or a `Survey`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from husai.errors import unknown
from husai.studies.study import Study
from husai.studies.survey import Survey

RECIPES = {
    "quickstart": "husai.recipes.quickstart:study",
    "smoke": "husai.recipes.smoke:study",
    "architectures": "husai.recipes.architectures:study",
    "architectures-quick": "husai.recipes.architectures:quick",
}


def recipe(name: str) -> Callable[[], Study | Survey]:
    """The function of a recipe.

    Raises:
        UserError: there is no recipe of that name.
    """
    if name not in RECIPES:
        raise unknown("study", name, RECIPES)
    module, _, function = RECIPES[name].partition(":")
    return getattr(import_module(module), function)
