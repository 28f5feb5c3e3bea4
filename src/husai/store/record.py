"""`RunRecord` and `Measurement`: the one versioned schema that the gate, tables, plots and pages read."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from husai.config import Config
from husai.errors import UserError
from husai.store.ranges import within

SCHEMA = "husai.record/1"
Status = Literal["ran", "failed", "not_run", "refused"]


class Interval(Config):
    """Interval of a measurement as it was computed, and how it was made."""

    low: float | None
    high: float | None
    level: float = Field(gt=0, lt=1)
    method: str = Field(min_length=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("an interval needs at least one bound")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is above high")
        return self


class Measurement(Config):
    """One number with its meaning. Missing is a state (`value is None` and a reason), never a zero.

    `scope` says of what (source, arm, steps, population, seed ...); name and scope together are unique in a record.
    `n` counts independent units, `n_unit` names them; `cluster` is the key within which values depend on each other.
    `null` names the control or floor the number was held against. `artefacts` are `path` of this record or
    `record_id:path` of another.
    """

    name: str = Field(min_length=1)
    value: float | None
    reason: str = ""
    unit: str = Field(min_length=1)
    higher_is_better: bool | None = None
    n: int | None = None
    n_unit: str = ""
    cluster: str = ""
    interval: Interval | None = None
    no_interval: str = ""
    null: str = ""
    scope: dict[str, str] = Field(default_factory=dict)
    artefacts: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _missing_is_a_state(self) -> Self:
        if self.value is None and not self.reason:
            raise ValueError("a missing value needs a reason")
        return self

    @property
    def missing(self) -> bool:
        """Whether nothing was measured."""
        return self.value is None

    @property
    def shown_interval(self) -> Interval | None:
        """The interval as it is shown anywhere: cut to the values that the quantity can have (`store.ranges`)."""
        if self.interval is None:
            return None
        low, high = (None if b is None else within(b, self.name) for b in (self.interval.low, self.interval.high))
        return self.interval.model_copy(update={"low": low, "high": high})

    @property
    def key(self) -> str:
        """Name and scope, e.g. `mcc_signed[arm=k4,population=alive]`; unique within a record."""
        scope = ",".join(f"{k}={v}" for k, v in sorted(self.scope.items()))
        return f"{self.name}[{scope}]" if scope else self.name


class Artefact(Config):
    """A file of a run folder, by relative path, with its SHA-256."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Provenance(Config):
    """Where, when and with what a record was made. Never part of an identity.

    `parts` are the seconds of parts of the work, by name (`steps` and, within them, `waiting_for_rows`), in the process
    that finished it.
    """

    husai: str
    commit: str
    python: str
    packages: dict[str, str]
    host: str
    processor: str
    device: str
    threads: int
    command: str
    started: str
    finished: str
    seconds: float
    parts: dict[str, float] = Field(default_factory=dict)


class RunRecord(Config):
    """What was done, with what, and what came out.

    `parents` maps a role (`activations`, `model`, `stack` ...) to the id of the record that played it.
    `facts` holds what is not a number (warnings, names, verdict states), JSON-ready.
    """

    schema_version: Literal["husai.record/1"] = SCHEMA
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    kind: str
    name: str
    status: Status
    reason: str = ""
    config: dict[str, Any]
    seeds: dict[str, Any] = Field(default_factory=dict)
    parents: dict[str, str] = Field(default_factory=dict)
    provenance: Provenance
    artefacts: tuple[Artefact, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    facts: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [m.key for m in self.measurements]
        doubled = {k for k in keys if keys.count(k) > 1} if len(set(keys)) != len(keys) else set()
        if doubled:
            raise ValueError(f"measured twice: {', '.join(sorted(doubled))}")
        if self.status != "ran" and not self.reason:
            raise ValueError(f"status {self.status} needs a reason")
        return self

    def get(self, name: str, **scope: str) -> Measurement:
        """The measurement of that name and exact scope.

        Raises:
            UserError: there is none; nothing is assumed in its place.
        """
        wanted = Measurement(name=name, value=0.0, unit="-", scope=scope).key
        for measurement in self.measurements:
            if measurement.key == wanted:
                return measurement
        raise UserError(f"record {self.id} holds no {wanted}")

    def select(self, name: str, **scope: str) -> list[Measurement]:
        """All measurements of that name whose scope includes `scope`."""
        return [m for m in self.measurements if m.name == name and scope.items() <= m.scope.items()]
