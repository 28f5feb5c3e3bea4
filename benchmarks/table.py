"""Rows as a table for RESULTS.md: `python -m benchmarks.table FILE...` prints it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]
NOT_SHOWN = "spread"


def markdown(rows: list[Row]) -> str:
    """One line per row, three digits; `-` where nothing ran. Below it: machine, settings, quartiles."""
    keys = [key for key in rows[0] if key != NOT_SHOWN]
    lines = [_line(keys), _line("---" for _ in keys)]
    lines += [_line(_cell(row[key]) for key in keys) for row in rows]
    return "\n".join([*lines, "", _setup(rows[0][NOT_SHOWN]), "", *_settings(rows)])


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _setup(spread: Row) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in spread.items() if not isinstance(value, dict))
    return f"Medians; {facts}."


def _settings(rows: list[Row]) -> list[str]:
    """What each tool ran with at each size, and the quartiles of its times in ms."""
    lines = []
    for row in rows:
        size = "x".join(str(row[key]) for key in ("d_in", "d_sae", "k", "batch", "seeds"))
        tools = {name: found for name, found in row[NOT_SHOWN].items() if isinstance(found, dict)}
        said = (f"{name}: {found['setting']}, {_range(found['iqr'])} ms" for name, found in tools.items())
        lines.append(f"- {size}: {'; '.join(said)}")
    return lines


def _range(quartiles: list[float]) -> str:
    return " to ".join(_cell(value) for value in quartiles)


if __name__ == "__main__":
    print("\n\n".join(markdown(json.loads(Path(name).read_text())) for name in sys.argv[1:]))
