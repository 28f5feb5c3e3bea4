"""Finding run folders: by id or by path, never by parsing a name."""

from __future__ import annotations

from pathlib import Path

from husai.errors import UserError, nearest
from husai.store.layout import RECORD, is_complete, read_record, recover
from husai.store.record import RunRecord


class Results:
    """A results folder: `nodes/` (shared by all studies) and `experiments/<study>/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def node_folder(self, kind: str, node: str) -> Path:
        """Where the node lives once complete."""
        return self.root / "nodes" / f"{kind}-{node}"

    def study_folder(self, study: str) -> Path:
        """Folder of a study: its seeds' folders, its own and its ledger."""
        return self.root / "experiments" / study

    def node(self, kind: str, node: str) -> RunRecord | None:
        """Record of a complete node, or None."""
        folder = self.node_folder(kind, node)
        return read_record(folder) if recover(folder) else None

    def experiment(self, study: str, run: str) -> Path | None:
        """Complete run folder of that id below a study, or None."""
        base = self.study_folder(study)
        for path in sorted(base.glob(f"*/{RECORD}")) if base.is_dir() else ():
            if not path.parent.name.startswith(".") and recover(path.parent) and read_record(path.parent).id == run:
                return path.parent
        return None

    def folders(self) -> list[Path]:
        """Every complete run folder below the root, sorted by path."""
        found = (p.parent for p in self.root.rglob(RECORD))
        return sorted(p for p in found if not p.name.startswith(".") and is_complete(p))

    def by_id(self) -> dict[str, Path]:
        """Id -> folder of everything complete."""
        return {read_record(folder).id: folder for folder in self.folders()}


def find_run(text: str, root: Path) -> Path:
    """Run folder that `text` means: a path, the start of an id, or a study's name (its newest run).

    Raises:
        UserError: nothing, or more than one thing, is meant.
    """
    path = Path(text)
    if (path / RECORD).is_file():
        return path
    results = Results(root)
    study = results.study_folder(text)
    if study.is_dir():
        runs = [
            f for f in results.folders() if f.parent == study and read_record(f).kind in ("study", "survey", "replay")
        ]
        if runs:
            return max(runs, key=lambda f: (f / RECORD).stat().st_mtime)
    by_id = results.by_id()
    matches = sorted(i for i in by_id if len(text) >= 4 and i.startswith(text))
    if len(matches) == 1:
        return by_id[matches[0]]
    if matches:
        raise UserError(f"'{text}' begins {len(matches)} ids: write more of it ({', '.join(matches[:3])} ...)")
    if path.exists():
        raise UserError(f"{text} is not a run folder: it holds no {RECORD}")
    names = [f.name for f in (root / "experiments").glob("*") if f.is_dir()] if root.is_dir() else []
    raise UserError(f"no run '{text}' below {root}: {nearest(text, names)}")
