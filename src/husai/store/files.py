"""Files that are whole or absent: atomic writing, hashing, and one clear line when the disk says no."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from husai.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the disk's refusals into a `UserError`; what was finished before stays as it is."""
    try:
        yield
    except OSError as error:
        raise UserError(_refusal(path, error)) from None


def _refusal(path: Path, error: OSError) -> str:
    """What the disk said, and what to do."""
    if error.errno in _FULL:
        return f"no space left while writing {path}: free some and run the same command again; finished parts are kept"
    if error.errno in _FORBIDDEN:
        return f"cannot write {path}: choose another folder with --results or change its rights"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"cannot write {path}: a file stands where a folder is needed; choose another"
    said = error.strerror or type(error).__name__
    return f"cannot write {path} ({said}): look at the disk, or choose another folder with --results"


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        UserError: not writable, no space, or a file is in the way.
    """
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a whole file under a temporary name, then rename: never half of it, even when killed.

    A kill may leave the temporary file behind; `remove_temporary` finds it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def remove_temporary(folder: Path) -> None:
    """Remove what killed writers left below `folder`; only while nobody else writes there."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """`write_bytes` for text (UTF-8)."""
    return write_bytes(path, text.encode())


def write_json(path: Path, data: object) -> Path:
    """Readable JSON with sorted keys; NaN is an error."""
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        UserError: missing, truncated or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is not readable as JSON: it was truncated or changed") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
