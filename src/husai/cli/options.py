"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Results = Annotated[Path, typer.Option("--results", help="Folder that keeps every run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout, no progress.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a field; repeatable.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes, one thread each. [default: one per core]")]
Key = Annotated[str | None, typer.Option(help="Name of the array, where the file holds several.")]
Width = Annotated[int | None, typer.Option("--d-in", min=1, help="Declared width of a row; must match.")]
HERE = Path("results")
