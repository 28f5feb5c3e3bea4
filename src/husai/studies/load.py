"""A study by the name of a recipe's function or from a user's own Python file."""

from __future__ import annotations

import runpy
import traceback
from pathlib import Path

from husai.errors import HusaiError, UserError
from husai.studies.study import Study


def study_from_file(path: Path) -> Study:
    """Run a user's file, whose function `study()` returns a `Study`.

    Raises:
        UserError: no such file, it fails, it has no such function, or that returns something else.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        names = runpy.run_path(str(path))
        make = names.get("study")
        if not callable(make):
            raise UserError(f"{path} defines no function study(): write one that returns a husai.studies.study.Study")
        made = make()
    except HusaiError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's code may fail in any way
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(f"{path} failed at line {line.lineno}: {_first_line(error)}") from None
    if not isinstance(made, Study):
        raise UserError(f"{path}: study() returned a {type(made).__name__}, not a Study")
    return made


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''} {text[2].strip() if len(text) > 2 else ''}".strip()
