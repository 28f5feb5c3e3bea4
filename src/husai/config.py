"""Frozen pydantic models for everything a user can set. Unknown keys are errors; `a.b=value` is the only override."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from husai.errors import UserError, nearest

EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")  # YAML 1.1 reads 1e-3 as text


class Config(BaseModel):
    """Base of all configs: frozen, torch-free, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict of every field."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """YAML with the fields in their declared order."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)

    @classmethod
    def parse(cls, data: object, what: str = "config") -> Self:
        """Validate `data`; a `UserError` names the first field that is wrong and the nearest valid key."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise UserError(f"{what}: {explain(error, cls)}") from None

    def override(self, assignments: list[str]) -> Self:
        """Copy with each `path=value` applied; values are read as YAML (`seeds=5`, `sae.k=[4,8]`).

        Another `kind` (`sae.kind=gated`) keeps what was declared and takes its own defaults for the rest.

        Raises:
            UserError: unknown path (with the nearest valid one), or a value that does not fit.
        """
        data = self.plain()
        for assignment in assignments:
            path, sep, text = assignment.partition("=")
            if not sep:
                raise UserError(f"--set {assignment}: write path=value, for example seeds=5")
            path, value = path.strip(), _read_value(assignment, text)
            if path.endswith(".kind"):
                data = self._of_other_kind(data, path, value)
            else:
                _assign(data, path, value)
        return type(self).parse(data, "--set " + " ".join(assignments))

    def _of_other_kind(self, data: dict[str, Any], path: str, kind: object) -> dict[str, Any]:
        parent, what = path.removesuffix(".kind"), f"--set {path}={kind}"
        declared: Any = type(self).parse(data, what).model_dump(mode="json", exclude_defaults=True)
        if not _is_none(data, parent):
            _assign(data, path, kind)
        for key in parent.split("."):
            declared = declared[int(key)] if isinstance(declared, list) else declared.get(key, {})
        _assign(data, parent, declared | {"kind": kind})
        return type(self).parse(data, what).plain()


def _is_none(data: Any, path: str) -> bool:
    """Whether there is nothing at a path where something may be, such as a coupling."""
    for key in path.split("."):
        if not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return data is None


def _read_value(assignment: str, text: str) -> object:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {assignment}: the value is not readable as YAML; quote it") from None
    return float(text) if isinstance(value, str) and EXPONENT.fullmatch(text.strip()) else value


def _assign(data: dict[str, Any], path: str, value: object) -> None:
    keys = path.split(".")
    node: Any = data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise UserError(f"--set {path}: '{key}' is not an index; valid: 0 to {len(node) - 1}")
            where: Any = int(key)
        elif isinstance(node, dict):
            if key not in node:
                raise UserError(f"--set {path}: unknown key '{key}': {nearest(key, node)}")
            where = key
        else:
            raise UserError(f"--set {path}: '{keys[depth - 1]}' has no parts")
        if last:
            if isinstance(value, bool) and type(node[where]) in (int, float):  # YAML 1.1 reads yes, on, true as one
                raise UserError(f"--set {path}: a number is needed, not {str(value).lower()}")
            node[where] = value
        else:
            node = node[where]


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """First problem of a pydantic error, in one line; a misspelt key comes before the field that it leaves out."""
    problems = error.errors(include_url=False)
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{where}': {nearest(str(problem['loc'][-1]), _keys_at(model, problem['loc'][:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    return f"{where}: {message}{shown}" if where else message


def _keys_at(model: type[BaseModel], place: tuple[int | str, ...]) -> set[str]:
    """Valid keys at a place of a model; the name of a variant in it chooses that variant, an index nothing.

    A name can be both (a source of kind `planted` has a field `planted`): it is the variant while there is a choice.
    """
    held = [model]
    for step in place:
        fields = [m.model_fields[step].annotation for m in held if step in m.model_fields]
        variants = [m for m in held if "kind" in m.model_fields and m.model_fields["kind"].default == step]
        inside = [found for annotation in fields for found in _models_in(annotation)]
        held = (variants if len(held) > 1 else []) or inside or variants or held
    return {name for m in held for name in m.model_fields}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def canonical_json(data: object) -> str:
    """The one text of a JSON value: sorted keys, no spaces, shortest round-trip floats; NaN is an error."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def content_hash(data: object) -> str:
    """SHA-256 (hex) of the canonical JSON. Never Python's salted `hash()`."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()
