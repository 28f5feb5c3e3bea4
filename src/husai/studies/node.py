"""A node of a study's graph: what is computed, from what, under which id."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from husai.store.identity import node_id
from husai.store.index import Results
from husai.store.layout import read_record
from husai.store.record import Measurement, RunRecord


@dataclass(frozen=True)
class Node:
    """`fields` (JSON-ready) and `parents` (role -> node) are the scientific content.

    `after` are nodes whose work may be continued and which change no bit of this one; `local` is what else changes no
    bit, such as where a user's file lies. A node that a user gave as a finished folder carries its `given` path and
    `fixed_id`.
    """

    kind: str
    title: str
    fields: dict[str, Any]
    parents: dict[str, Node] = field(default_factory=dict)
    after: tuple[Node, ...] = ()
    local: dict[str, Any] = field(default_factory=dict)
    fixed_id: str = ""
    given: Path | None = None

    @cached_property
    def id(self) -> str:
        """Hash of kind, fields and the parents' ids; that of its record for a node whose folder was given."""
        if self.fixed_id:
            return self.fixed_id
        parents = {role: parent.id for role, parent in sorted(self.parents.items())}
        return node_id(self.kind, {"fields": self.fields, "parents": parents})

    def upstream(self) -> list[Node]:
        """Parents, and nodes that must come first although they change no bit of this one."""
        return [*self.parents.values(), *self.after]


@dataclass(frozen=True)
class Work:
    """What a worker is handed: a node without its graph."""

    id: str
    kind: str
    title: str
    fields: dict[str, Any]
    local: dict[str, Any]
    parents: dict[str, str]
    folders: dict[str, Path]
    earlier: tuple[Path, ...]
    draft: Path

    def parent(self, role: str) -> RunRecord:
        """Record of a parent."""
        return read_record(self.folders[role])


@dataclass
class Outcome:
    """What a node's code hands back; its files are in the draft folder.

    `seconds` are the times of its parts: they go into the provenance, and never into metrics.json.
    """

    measurements: list[Measurement] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, Any] = field(default_factory=dict)
    scratch: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)


def folder_of(node: Node, results: Results) -> Path:
    """Where a node's folder is: given, or by kind and id."""
    return node.given or results.node_folder(node.kind, node.id)


def work_of(node: Node, results: Results) -> Work:
    """What a worker needs to know of a node."""
    folders = {role: folder_of(parent, results) for role, parent in node.parents.items()}
    earlier = tuple(folder_of(n, results) for n in node.after)
    parents = {role: parent.id for role, parent in node.parents.items()}
    return Work(node.id, node.kind, node.title, node.fields, node.local, parents, folders, earlier, Path())
