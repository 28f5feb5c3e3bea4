"""References from a page to the records it was made from, and how a number is shown.

    <id>#<key of a measurement>      with a part: value, low, high, level, n, unit, reason, no_interval, null, key ...
    <id>@<path in record.json>       e.g. facts.data, config.margin, facts.convergence.0.words
    <id>:<file>@<path>               a JSON file of that record's run folder

The report writes them beside every number, the audit follows them: both use what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from husai.errors import UserError
from husai.store.files import read_json, sha256
from husai.store.layout import RECORD, read_record
from husai.store.record import Measurement, RunRecord

INTERVAL_PARTS = ("low", "high", "level", "method")


class Unresolved(UserError):
    """A reference that leads nowhere in the record it names."""


class Unreachable(Unresolved):
    """A reference to a record that is not here."""


def shown(value: float, spec: str) -> str:
    """A number as it stands on a page: `format(value, spec)` with a real minus sign, and no sign before a bare zero."""
    text = format(value, spec)
    if not any(c in "123456789" for c in text.split("e")[0]):
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def follow(data: Any, path: str) -> Any:
    """What stands at a dotted path of JSON; a key may itself hold dots (longer keys are tried first).

    Raises:
        Unresolved: there is no such place.
    """
    if not path:
        return data
    if isinstance(data, list):
        head, _, rest = path.partition(".")
        if head.isdigit() and int(head) < len(data):
            return follow(data[int(head)], rest)
    elif isinstance(data, dict):
        fits = [key for key in data if path == key or path.startswith(f"{key}.")]
        for key in sorted(fits, key=len, reverse=True):
            with suppress(Unresolved):
                return follow(data[key], path[len(key) + 1 :])
    raise Unresolved(f"nothing stands at '{path}'")


def part_of(measurement: Measurement, part: str) -> Any:
    """One part of a measurement as it is shown (bounds cut to the quantity's range); None where it has none.

    Raises:
        Unresolved: no measurement has such a part.
    """
    if part in INTERVAL_PARTS:
        return getattr(measurement.shown_interval, part) if measurement.interval else None
    if part.startswith("scope."):
        return follow(measurement.scope, part.removeprefix("scope."))
    if part != "key" and part not in Measurement.model_fields:
        raise Unresolved(f"a measurement has no part '{part}'")
    return getattr(measurement, part)


@dataclass
class Library:
    """Run folders by id; records and JSON files are read once."""

    folders: Mapping[str, Path]
    _records: dict[str, RunRecord] = field(default_factory=dict)
    _plain: dict[str, Any] = field(default_factory=dict)
    _keys: dict[str, dict[str, Measurement]] = field(default_factory=dict)

    def folder(self, run: str) -> Path:
        """Run folder of an id.

        Raises:
            Unreachable: it is not here.
        """
        if run not in self.folders:
            raise Unreachable(f"record {run} is not here")
        return self.folders[run]

    def record(self, run: str) -> RunRecord:
        """Record of an id."""
        if run not in self._records:
            self._records[run] = read_record(self.folder(run))
        return self._records[run]

    def measurement(self, run: str, key: str) -> Measurement:
        """A measurement by its key.

        Raises:
            Unresolved: the record holds none of that key.
        """
        if run not in self._keys:
            self._keys[run] = {m.key: m for m in self.record(run).measurements}
        if key not in self._keys[run]:
            raise Unresolved(f"record {run} holds no {key}")
        return self._keys[run][key]

    def look_up(self, ref: str, part: str = "value") -> Any:
        """What a reference leads to.

        Raises:
            Unreachable: the record is not here.
            Unresolved: the record or file holds no such thing.
        """
        run, rest = ref[:16], ref[16:]
        if rest.startswith("#"):
            return part_of(self.measurement(run, rest[1:]), part)
        if rest.startswith("@"):
            return follow(self._json(run, RECORD), rest[1:])
        if rest.startswith(":"):
            name, _, path = rest[1:].partition("@")
            return follow(self._json(run, name), path)
        raise Unresolved(f"'{ref}' is not a reference")

    def digest(self, run: str) -> str:
        """SHA-256 of the record.json of an id."""
        return sha256(self.folder(run) / RECORD)

    def _json(self, run: str, name: str) -> Any:
        key = f"{run}:{name}"
        if key not in self._plain:
            listed = {a.path for a in self.record(run).artefacts} | {RECORD}
            if name not in listed:
                raise Unresolved(f"record {run} lists no file {name}")
            self._plain[key] = read_json(self.folder(run) / name)
        return self._plain[key]
