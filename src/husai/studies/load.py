"""A study by the name of a recipe's function or from a user's own Python file."""

from __future__ import annotations

import runpy
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from husai.config import Config, explain
from husai.errors import HusaiError, UserError
from husai.studies.calibrations.calibration import Calibration
from husai.studies.programmes.programme import Programme
from husai.studies.replays.replay import Replay
from husai.studies.study import Study
from husai.studies.surveys.survey import Survey


def study_from_file(path: Path) -> Study | Survey | Calibration | Replay | Programme:
    """Run a user's file, whose function `study()` returns a `Study`, a `Survey`, a `Calibration` or a `Programme`.

    Raises:
        UserError: no such file, it fails, it has no such function, or that returns something else.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    make = _guarded(path, lambda: runpy.run_path(str(path)).get("study"))
    if not callable(make):
        raise UserError(f"{path} defines no function study(): write one that returns a husai.studies.study.Study")
    made = _guarded(path, make)
    if not isinstance(made, Study | Survey | Calibration | Replay | Programme):
        raise UserError(f"{path}: study() returned a {type(made).__name__}, not a Study or a Survey")
    return made


def _guarded(path: Path, code: Callable[[], Any]) -> Any:
    """What the user's code returns; whatever it raises becomes one line."""
    try:
        return code()
    except HusaiError:
        raise
    except SystemExit:
        raise UserError(f"{path} ends the program (sys.exit): let study() return a Study instead") from None
    except Exception as error:  # noqa: BLE001 - the user's code may fail in any way
        raise UserError(f"{path} failed{_place(path, error)}: {_words(error)}") from None


def _place(path: Path, error: Exception) -> str:
    """The last line of the user's file that took part."""
    if isinstance(error, SyntaxError):
        return f" at line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" at line {lines[-1]}" if lines else ""


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return explain(error, _config_called(error.title))
    text = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {text}"


def _config_called(name: str) -> type[Config]:
    """The config class of that name, whose keys help after a wrong one."""
    classes = [Config]
    for known in classes:
        classes += known.__subclasses__()
    return next((known for known in classes if known.__name__ == name), Config)
