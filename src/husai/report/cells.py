"""What may stand in a table or a sentence: a number, words or a missing value, each with where it comes from.

Pages and summaries are made of these, so that nothing can be printed that no record holds. Plain text in a page holds
no digits; the audit of the store follows every reference again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from husai.store.record import Measurement
from husai.store.references import shown

ROUNDING = 1e-12  # a difference of cosines this small is none
COUNTS = ("latents", "rows", "steps", "models", "seeds", "dimensions")


@dataclass(frozen=True)
class Number:
    """A number: its value, the reference it was read from, and how it is shown."""

    value: float
    ref: str
    part: str = "value"
    format: str = ".3f"

    @property
    def text(self) -> str:
        """As shown."""
        return shown(self.value, self.format)

    @property
    def at(self) -> str:
        """Reference and part, as marks in figures carry them."""
        return f"{self.ref}|{self.part}"

    def negative(self) -> Number:
        """The mark at the opposite place."""
        return replace(self, value=-self.value, ref=f"-{self.ref}")


@dataclass(frozen=True)
class Words:
    """Words of a record, verbatim."""

    text: str
    ref: str
    part: str = "value"
    style: str = ""


@dataclass(frozen=True)
class Flag:
    """A yes or no of a record, in two words; a `plain` one is neither good nor bad."""

    value: bool
    ref: str
    yes: str
    no: str
    plain: bool = False

    @property
    def text(self) -> str:
        """The word that holds."""
        return self.yes if self.value else self.no


@dataclass(frozen=True)
class Missing:
    """A value that is not there, and why. `ref` is empty where not even the record knows of it.

    `short` leaves the reason to a note of the table.
    """

    reason: str
    ref: str = ""
    part: str = "value"
    short: bool = False

    @property
    def text(self) -> str:
        """Never a zero, never blank."""
        what = "no interval" if self.part == "no_interval" else "missing"
        return what if self.short else f"{what}: {self.reason}"


@dataclass(frozen=True)
class Digest:
    """SHA-256 of a record."""

    text: str
    run: str


@dataclass(frozen=True)
class Small:
    """Parts set smaller, below or beside what they belong to."""

    parts: tuple[Cell, ...]


Cell = str | Number | Words | Flag | Missing | Digest | Small | tuple["Cell", ...]


def spec(value: float, unit: str = "") -> str:
    """How to show a number: counts whole, shares and cosines with three decimals, tiny and large ones as they need."""
    if isinstance(value, int) or (float(value).is_integer() and unit.split(",")[0].split(" ")[0] in COUNTS):
        return ".0f" if abs(value) < 1e9 else ".4g"
    if value != 0 and abs(value) < 0.001 and not (unit.startswith("cosine") and abs(value) < ROUNDING):
        return ".2g"
    if abs(value) >= 1000:
        return ".5g"
    return ".1f" if abs(value) >= 100 else ".2f" if abs(value) >= 10 else ".3f"


def value(m: Measurement, run: str) -> Cell:
    """The value of a measurement, or why it is missing."""
    ref = f"{run}#{m.key}"
    if m.value is None:
        return Missing(m.reason, ref)
    return Number(m.value, ref, "value", spec(m.value, m.unit))


def interval(m: Measurement, run: str) -> Cell:
    """Bounds of the interval, or why there is none; empty for a value that is missing itself."""
    if m.value is None:
        return ""
    ref = f"{run}#{m.key}"
    found, form = m.shown_interval, spec(m.value, m.unit)
    if found is None:
        return Missing(m.no_interval or "none was made", ref, "no_interval") if m.no_interval else "no interval"
    low, high = found.low, found.high
    bounds: list[Cell] = ["at most " if low is None else Number(low, ref, "low", form)]
    if low is None or high is None:
        bounds += [" or more" if high is None else Number(high, ref, "high", form)]
    else:
        bounds += [" to ", Number(high, ref, "high", form)]
    return tuple(bounds)


def level(m: Measurement, run: str) -> Cell:
    """Level of the interval, e.g. 95%."""
    if m.interval is None:
        return ""
    percent = m.interval.level * 100  # 97.5 % of two claims that are open together is no 98 %
    digits = next((n for n in (0, 1) if abs(percent - round(percent, n)) < 1e-9), 2)
    return Number(m.interval.level, f"{run}#{m.key}", "level", f".{digits}%")


def with_interval(m: Measurement, run: str) -> Cell:
    """Value, and below it the interval."""
    if m.value is None:
        return value(m, run)
    return (value(m, run), Small((interval(m, run),)))


def units(m: Measurement, run: str) -> Cell:
    """How many independent units, and which."""
    if m.n is None:
        return ""
    return (Number(m.n, f"{run}#{m.key}", "n", "d"), " ", Words(m.n_unit, f"{run}#{m.key}", "n_unit"))


def fact(data: Any, ref: str, *, form: str = "") -> Cell:
    """A fact, a setting or a piece of provenance: number, words or missing."""
    if data is None or data == "":
        return Missing("not in the record", ref) if data is None else "none"
    if isinstance(data, bool):
        return Flag(data, ref, "yes", "no")
    if isinstance(data, int | float):
        return Number(data, ref, "value", form or ("d" if isinstance(data, int) else spec(data)))
    return Words(str(data), ref)


def plain(cell: Cell) -> str:
    """A cell as text, for summaries."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        return "".join(plain(part) for part in cell)
    if isinstance(cell, Small):
        return f" ({''.join(plain(part) for part in cell.parts)})"
    return cell.text
