"""Run folders that are complete or absent.

    results/nodes/<kind>-<id>/                    one node of a study's graph (model, activations, stack, measure ...)
    results/experiments/<study>/<run_id>/         one trained seed, or the study's own folder
    results/experiments/<study>/ledger.jsonl      every attempt, failures included

A folder is built under `.partial-<id>`, renamed when complete, and its marker `COMPLETE`, which holds the hash of
`record.json`, is written last. Layout and naming: the experiment programme, section 7.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from husai.errors import UserError
from husai.store.files import (
    disk_errors,
    make_folder,
    read_json,
    remove_temporary,
    sha256,
    sync,
    write_bytes,
    write_json,
    write_text,
)
from husai.store.record import Artefact, RunRecord

MARKER = "COMPLETE"
RECORD = "record.json"
OWN = {RECORD, MARKER}
WITH_REPORT = ("study", "survey", "replay", "programme")  # kinds of records whose run folder holds a page


def run_name(phase: str, task: str, arch: str, d_sae: int, k: int | str, seed: int | str, date: str) -> str:
    """`<phase>_<task>_<arch>_dsae<d>_k<k>_seed<seed>_<date>`; parts keep letters, digits, `.` and `-` only."""
    clean = [re.sub(r"[^A-Za-z0-9.-]+", "-", str(part)) for part in (phase, task, arch)]
    return f"{'_'.join(clean)}_dsae{d_sae}_k{k}_seed{seed}_{date}"


@dataclass
class Draft:
    """A run folder under construction: write artefacts into `path`, then `complete` it."""

    path: Path
    final: Path
    scratch: set[str] = field(default_factory=set)

    def complete(self, record: RunRecord) -> RunRecord:
        """Write config.yaml, metrics.json and record.json, rename, write the marker last; returns the full record."""
        for name in self.scratch:
            (self.path / name).unlink(missing_ok=True)
        remove_temporary(self.path)
        write_text(self.path / "config.yaml", yaml.safe_dump(record.config, sort_keys=True, allow_unicode=True))
        write_json(self.path / "metrics.json", metrics(record))
        full = record.model_copy(update={"artefacts": list_artefacts(self.path)})
        write_json(self.path / RECORD, full.plain())
        with disk_errors(self.final):
            sync(self.path)
            self.path.replace(self.final)
            sync(self.final.parent)
        mark(self.final)
        return full


def metrics(record: RunRecord) -> dict[str, object]:
    """Content of `metrics.json`: what was measured and nothing that changes between two runs of the same thing."""
    return {
        "schema_version": record.schema_version,
        "id": record.id,
        "status": record.status,
        "measurements": {m.key: m.plain() for m in record.measurements},
        "facts": record.facts,
    }


def list_artefacts(folder: Path) -> tuple[Artefact, ...]:
    """Every file below `folder` but the record and the marker, with size and hash, sorted by path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).as_posix() not in OWN)
    return tuple(
        Artefact(path=p.relative_to(folder).as_posix(), sha256=sha256(p), bytes=p.stat().st_size) for p in files
    )


def mark(folder: Path) -> None:
    """Write the completion marker: the SHA-256 of record.json."""
    write_bytes(folder / MARKER, (sha256(folder / RECORD) + "\n").encode())


def is_complete(folder: Path) -> bool:
    """Whether the marker stands and agrees with record.json."""
    marker, record = folder / MARKER, folder / RECORD
    return marker.is_file() and record.is_file() and marker.read_bytes().strip() == sha256(record).encode()


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run folder.

    Raises:
        UserError: none there, or not a record of this schema.
    """
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder} is not a run folder: it holds no {RECORD}")
    return RunRecord.parse(read_json(folder / RECORD), str(folder / RECORD))


def recover(final: Path) -> bool:
    """Finish a folder that was renamed but not marked (killed in between); False when it is not whole."""
    if is_complete(final):
        return True
    if not (final / RECORD).is_file() or (final / MARKER).exists():
        return False
    try:
        record = read_record(final)
        with locked(_partial(final, record.id), f"run {record.id}"):
            if not is_complete(final) and _whole(final, record):
                remove_temporary(final)
                mark(final)
    except UserError:  # not readable, or somebody is just about to mark it
        return False
    return is_complete(final)


def _whole(folder: Path, record: RunRecord) -> bool:
    paths = [(folder / artefact.path, artefact.sha256) for artefact in record.artefacts]
    return all(path.is_file() and sha256(path) == expected for path, expected in paths)


def _partial(final: Path, node: str) -> Path:
    return final.parent / f".partial-{node}"


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of `folder` (a file beside it); freed by the system when the process dies.

    Raises:
        UserError: another process holds it.
    """
    make_folder(folder.parent)
    lock_path = folder.parent / f".{folder.name}.lock"
    lock = FileLock(lock_path)
    with disk_errors(lock_path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"another process is already working on {what}: wait for it, or use another folder with --results"
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def building(final: Path, node: str, *, resume: bool = False) -> Iterator[Draft]:
    """Build the run folder `final` of id `node` in a partial folder that survives a kill.

    With `resume` the work in it goes on, otherwise it starts over. What stands in the place of `final` and is not
    whole is moved aside, never deleted.

    Raises:
        UserError: another process holds it, a whole run stands in its place, or the disk says no.
    """
    partial = _partial(final, node)
    with locked(partial, f"run {node}"):
        if is_complete(final):
            raise UserError(f"{final} was finished meanwhile by another process: run the same command again")
        if not resume:
            discard(partial)
        make_folder(partial)
        if final.exists():
            with disk_errors(final):
                final.replace(free_name(final.with_name(f"{final.name}.damaged-1")))
        yield Draft(partial, final)


def free_name(path: Path) -> Path:
    """`path`, or the same with the first number behind it that is free."""
    if not path.exists():
        return path
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(p for p in numbered if not p.exists())


def discard(folder: Path) -> None:
    """Remove a folder and everything below it."""
    shutil.rmtree(folder, ignore_errors=True)
