"""A calibration on activations that a user gives: a folder of `husai capture`, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from husai.activations.source import CapturedSource, ExternalSource, FolderSource, Source
from husai.errors import UserError
from husai.studies.calibrations.calibration import Calibration
from husai.studies.plan import given_folder


def calibration_on(
    path: Path, key: str | None, d_in: int | None, k: str, ev_floor: float, assignments: list[str]
) -> Calibration:
    """The calibration of `--k` on these activations, with each `path=value` applied.

    Raises:
        UserError: no such activations, a k that is no number, or a field that does not fit.
    """
    data: dict[str, Any] = {"source": _source(path, key, d_in).plain(), "k": _numbers(k), "ev_floor": ev_floor}
    return Calibration.parse(data, "calibrate").override(assignments)


def _source(path: Path, key: str | None, d_in: int | None) -> Source:
    if path.is_file():
        return ExternalSource(path=str(path.resolve()), key=key, d_in=d_in)
    declared = given_folder(path).fields.get("source", {})
    trained = declared.get("kind") == "captured" and declared.get("pretrain") is not None
    made_from = CapturedSource.parse(declared) if trained else None
    return FolderSource(path=str(path.resolve()), made_from=made_from)


def _numbers(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--k {text}: write whole numbers with commas between, e.g. 4,8,16,32") from None
    if twice := [k for k in found if found.count(k) > 1]:
        raise UserError(f"--k {text}: {twice[0]} is there twice: name each k once")
    return sorted(found)
