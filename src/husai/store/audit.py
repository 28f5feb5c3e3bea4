"""Is a results folder what it says it is? Files against hashes, records against each other, reports against records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from husai.errors import UserError
from husai.store.audit_page import audit_page
from husai.store.files import read_json, sha256
from husai.store.layout import MARKER, OWN, RECORD, metrics, read_record
from husai.store.page import numbers_in, read_page
from husai.store.record import RunRecord
from husai.store.references import Library

REPORT, SUMMARY = "report.html", "summary.md"
WITH_REPORT = ("study", "survey", "replay")
PARTIAL, DAMAGED = ".partial-", ".damaged-"


@dataclass
class Audit:
    """What was checked, by kind; findings and unfinished folders, one line each, beginning with the path.

    `notes` say what could not be checked here. A folder in which nothing was checked has not passed.
    """

    folder: Path
    checked: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether something was checked and nothing was found."""
        return not self.findings and self.checked.get("run folders", 0) > 0

    def count(self, what: str, n: int = 1) -> None:
        """`n` more of `what` checked."""
        self.checked[what] = self.checked.get(what, 0) + n

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict of everything and the outcome."""
        return asdict(self) | {"folder": str(self.folder), "passed": self.passed}

    def words(self) -> str:
        """One sentence."""
        done = ", ".join(f"{n} {what}" for what, n in self.checked.items())
        left = f"; {len(self.unfinished)} unfinished" if self.unfinished else ""
        found = "nothing to complain about" if self.passed else f"{len(self.findings)} findings"
        return f"checked {done or 'nothing'}: {found}{left}"


def audit(folder: Path) -> Audit:
    """Audit a run folder, a study's folder, or a whole results folder.

    Raises:
        UserError: there is no such folder, or no run folder in it.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name a run folder, a study's folder or a results folder")
    done, root = Audit(folder), results_root(folder)
    library = Library(_by_id(root or folder))
    if root is None:
        done.notes.append("no nodes folder at or above this one: parents and what refers to them were not checked")
    for run in _run_folders(folder, root, done):
        _run(run, root, library, done)
    if not (done.checked or done.findings or done.unfinished):
        raise UserError(f"{folder} holds no run folder: name a run folder, a study's folder or a results folder")
    return done


def results_root(folder: Path) -> Path | None:
    """The results folder at or above `folder`: the one with finished runs under `nodes`."""
    for place in (folder, *folder.parents):
        if next((place / "nodes").glob(f"*/{RECORD}"), None) is not None:
            return place
    return None


def _set_aside(path: Path) -> bool:
    return path.name.startswith(PARTIAL) or DAMAGED in path.name


def _by_id(root: Path) -> dict[str, Path]:
    """Id -> run folder; a record that cannot be read is found by the walk."""
    found = {}
    for path in sorted(root.rglob(RECORD)):
        if any(_set_aside(p) for p in path.relative_to(root).parents):
            continue
        try:
            found[read_record(path.parent).id] = path.parent
        except UserError:
            continue
    return found


def _run_folders(folder: Path, root: Path | None, done: Audit) -> Iterator[Path]:
    """Folders that are, or should be, runs, sorted; partial ones are noted as unfinished."""
    if (folder / RECORD).exists() or (folder / MARKER).exists():
        yield folder
        return
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        name = path.relative_to(done.folder)
        if path.name.startswith(PARTIAL):
            done.unfinished.append(f"{name}: unfinished; the run that began it will go on from it")
        elif DAMAGED in path.name:
            done.unfinished.append(f"{name}: set aside as damaged; no result refers to it")
        elif _expected(path, root) and not ((path / RECORD).exists() or (path / MARKER).exists()):
            done.findings.append(f"{name}: holds no {RECORD}")
        else:
            yield from _run_folders(path, root, done)


def _expected(path: Path, root: Path | None) -> bool:
    """Whether a run folder must stand at this place of the layout."""
    return root is not None and path.parent in (root / "nodes", *(root / "experiments").glob("*"))


def _run(folder: Path, root: Path | None, library: Library, done: Audit) -> None:
    """Every check of one run folder; a check that cannot be made is a finding and stops no other."""
    name = folder.relative_to(done.folder) if folder != done.folder else Path(folder.name)
    done.count("run folders")
    try:
        record = read_record(folder)
    except UserError as error:
        done.findings.append(f"{name}: {error}")
        return
    checks = [
        lambda: _marker(folder),
        lambda: _files(folder, record, done),
        lambda: _texts(folder, record),
        lambda: _references(record, library, done),
        lambda: _relations(folder, record, root, library),
        lambda: _report(folder, record, library, root is not None, done),
        lambda: _summary(folder),
    ]
    for check in checks:
        try:
            done.findings += [f"{name}: {text}" for text in check()]
        except (UserError, OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            done.findings.append(f"{name}: {' '.join(str(error).split())}")


def _marker(folder: Path) -> Iterator[str]:
    marker = folder / MARKER
    if not marker.is_file():
        yield f"not complete: it has no {MARKER}"
    elif marker.read_bytes() != f"{sha256(folder / RECORD)}\n".encode():
        yield f"{RECORD} was changed: {MARKER} holds another hash"


def _files(folder: Path, record: RunRecord, done: Audit) -> Iterator[str]:
    """Every artefact is there with its bytes, and nothing else is."""
    listed = {artefact.path for artefact in record.artefacts}
    for artefact in record.artefacts:
        path = folder / artefact.path
        done.count("artefacts")
        if not path.resolve().is_relative_to(folder):
            yield f"{artefact.path}: leads out of the run folder"
        elif not path.is_file():
            yield f"{artefact.path}: is missing"
        elif path.stat().st_size != artefact.bytes or sha256(path) != artefact.sha256:
            yield f"{artefact.path}: was changed: size or hash differs from the record"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and name not in listed | OWN:
            yield f"{name}: a file that the record does not list"


def _texts(folder: Path, record: RunRecord) -> Iterator[str]:
    """metrics.json and config.yaml say what the record says."""
    if read_json(folder / "metrics.json") != metrics(record):
        yield "metrics.json differs from the measurements of the record"
    if yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) != record.plain()["config"]:
        yield "config.yaml differs from the config of the record"


def _references(record: RunRecord, library: Library, done: Audit) -> Iterator[str]:
    """Artefacts named by measurements exist, here or in the record they name."""
    own = {artefact.path for artefact in record.artefacts}
    for measurement in record.measurements:
        for name in measurement.artefacts:
            done.count("references")
            run, sep, path = name.partition(":")
            if not sep and name not in own:
                yield f"{measurement.key}: refers to {name}, which the record does not list"
            elif sep and run in library.folders and path not in {a.path for a in library.record(run).artefacts}:
                yield f"{measurement.key}: refers to {name}, which record {run} does not list"


def _relations(folder: Path, record: RunRecord, root: Path | None, library: Library) -> Iterator[str]:
    """Parents are here, references of measurements lead to records that are here, a node's name is its id."""
    if root is None:
        return
    for role, run in record.parents.items():
        if run not in library.folders:
            yield f"parent {run} ({role}) is not here"
    named = {name.partition(":")[0] for m in record.measurements for name in m.artefacts if ":" in name}
    for run in sorted(named - set(library.folders)):
        yield f"measurements refer to record {run}, which is not here"
    if folder.parent == root / "nodes" and folder.name != f"{record.kind}-{record.id}":
        yield f"the folder is named for another run than {record.kind}-{record.id}"


def _report(folder: Path, record: RunRecord, library: Library, whole: bool, done: Audit) -> Iterator[str]:
    """Everything on the page is looked up again."""
    path = folder / REPORT
    if not path.is_file():
        if record.kind in WITH_REPORT:
            yield f"{REPORT}: a {record.kind} without its report"
        return
    page = audit_page(path, library, record, whole)
    done.count("reports")
    for what, n in page.checked.items():
        done.count(f"{what} in reports", n)
    if page.unreachable and not whole:
        done.notes.append(f"{REPORT}: {page.unreachable} references lead to records that are not here; not checked")
    for text in page.findings:
        yield f"{REPORT}: {text}"


def _summary(folder: Path) -> Iterator[str]:
    """Every number of the summary stands in the report, where it was looked up."""
    if not (folder / SUMMARY).is_file() or not (folder / REPORT).is_file():
        return
    page = read_page(folder / REPORT)
    held = {word for element in page.elements if element.referenced for word in _tokens(element.text)}
    text = (folder / SUMMARY).read_text(encoding="utf-8").replace("|", " ").replace("*", " ").replace("`", " ")
    for word in _tokens(text):
        if word not in held:
            yield f"{SUMMARY}: the number '{word}' does not stand in {REPORT}"


def _tokens(text: str) -> list[str]:
    return [word for part in numbers_in(text) for word in part.replace("=", " ").split() if word]
