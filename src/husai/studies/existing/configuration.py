"""Which SAEs are seeds of one configuration: equal in everything but the seed, by hash and not by name.

An interval over seeds has seeds of one configuration as its units. Others are divided by configuration: each has its
own numbers, and what is over all of them has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from husai.activations.manifest import read_manifest
from husai.config import content_hash
from husai.errors import UserError
from husai.saes.formats.load import Loaded
from husai.stability.pairwise import PairTable
from husai.statistics.intervals import pair_mean
from husai.store.record import Measurement
from husai.studies.existing.group import Group
from husai.studies.existing.rows import Training, training_of
from husai.studies.measured import over_pairs
from husai.studies.nodes.activations import ROWS

NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Configuration:
    """What SAEs have in common but for the seed, its hash, and the positions of its members in the list given."""

    hash: str
    fields: dict[str, Any]
    members: tuple[int, ...]


def configurations(loaded: Sequence[Loaded]) -> list[Configuration]:
    """The configurations of these SAEs in the order of their first members."""
    found: dict[str, Configuration] = {}
    for number, one in enumerate(loaded):
        fields = configuration_of(one)
        key = content_hash(fields)[:8]
        before = found[key].members if key in found else ()
        found[key] = Configuration(key, fields, (*before, number))
    return list(found.values())


def configuration_of(one: Loaded) -> dict[str, Any]:
    """Everything that an SAE and the records beside it say of how it came about, without its seed.

    The engine computes the same thing and is left out, and so is the root seed; other rows are another configuration.
    """
    training = training_of(one)
    made = {"training": NOT_KNOWN} if training is None else _training(training)
    return {"sae": one.sae.config.plain(), "d_in": one.sae.cfg.d_in, "hook_name": one.sae.hook_name, **made}


def _training(training: Training) -> dict[str, Any]:
    settings = {name: value for name, value in training.config.plain().items() if name != "engine"}
    try:
        rows = read_manifest(training.rows / ROWS).rows_sha256
    except UserError:  # moved away: the name of a node's folder is its hash
        rows = training.rows.name
    return {"training": settings, "activations": rows, "coupling": training.coupling}


def one_configuration(loaded: Sequence[Loaded], what: str) -> None:
    """Whether these SAEs are seeds of one configuration.

    Raises:
        UserError: of several.
    """
    found = configurations(loaded)
    if len(found) > 1:
        raise UserError(
            f"the {len(loaded)} SAEs of {what} are of {differing_words(found)}: "
            "the seeds of a group have one configuration; compare them one at a time"
        )


def differing_words(found: Sequence[Configuration]) -> str:
    """`2 configurations, which differ in sae.k (3, 5)`."""
    flat = [_flat(c.fields) for c in found]
    names = [n for n in dict.fromkeys(n for f in flat for n in f) if len({str(f.get(n, NOT_KNOWN)) for f in flat}) > 1]
    shown = [f"{name} ({', '.join(dict.fromkeys(_short(f.get(name, NOT_KNOWN)) for f in flat))})" for name in names[:4]]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{len(found)} configurations, which differ in {', '.join(shown)}{more}"


def _flat(fields: dict[str, Any], head: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in fields.items():
        made |= _flat(value, f"{head}{name}.") if isinstance(value, dict) else {head + name: value}
    return made


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."


def division(found: Sequence[Configuration], names: Sequence[str]) -> list[str]:
    """What must be said where there are several, and which SAEs are of which."""
    if len(found) < 2:
        return []
    members = "; ".join(f"{c.hash}: {', '.join(names[i] for i in c.members)}" for c in found)
    return [
        f"the SAEs are of {differing_words(found)}: no group of seeds, and nothing over all has an interval; {members}"
    ]


def divided(numbers: Sequence[Measurement], found: Sequence[Configuration], group: Group) -> list[Measurement]:
    """The same numbers where all SAEs are seeds of one configuration; else without intervals, and each one's own."""
    if len(found) < 2:
        return list(numbers)
    why = f"{len(found)} configurations are no group of seeds"
    bare = [m if m.n is None else _without_interval(m, why) for m in numbers]
    return bare + [m for c in found for m in _own(group, c)]


def _without_interval(m: Measurement, why: str) -> Measurement:
    n = {"n_unit": "SAEs", "cluster": "SAEs"} if m.n_unit == "seeds" else {}
    return m.model_copy(update={"interval": None, "no_interval": why, **n})


def _own(group: Group, one: Configuration) -> list[Measurement]:
    """Every metric between the members of one configuration; with five of them, its interval."""
    if len(one.members) < 2:
        return []
    made, at = [], list(one.members)
    for metric, population in group.pairs.values:
        if population in group.populations:
            matrix = group.pairs.matrix(metric, population)[at][:, at]
            scope = {"population": population, "configuration": one.hash}
            made.append(over_pairs(metric, matrix, pair_mean, _unit(group.pairs, metric), scope))
    return made


def _unit(pairs: PairTable, metric: str) -> str:
    return "share of features" if metric.startswith("shared_at") else "cosine"
