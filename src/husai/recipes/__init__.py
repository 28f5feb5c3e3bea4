"""The studies themselves: functions that return a `Study`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from husai.errors import unknown
from husai.studies.study import Study

RECIPES = {
    "quickstart": "husai.recipes.quickstart",
    "smoke": "husai.recipes.smoke",
}


def recipe(name: str) -> Callable[[], Study]:
    """The function `study()` of a recipe.

    Raises:
        UserError: there is no recipe of that name.
    """
    if name not in RECIPES:
        raise unknown("study", name, RECIPES)
    return import_module(RECIPES[name]).study
