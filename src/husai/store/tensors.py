"""Named arrays on disk: safetensors through NumPy. Nothing written is a pickle, nothing read can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from husai.errors import UserError
from husai.store.files import write_bytes

Arrays = dict[str, np.ndarray]


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> Path:
    """Write arrays atomically; keys are sorted so that equal content gives equal bytes."""
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    data = save(ordered)
    return write_bytes(path, _with_metadata(data, metadata) if metadata else data)


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Put sorted metadata into the header of a serialised file: `save` itself writes them in a random order."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(data[8:end])}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little") + text + data[end:]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file; whatever is wrong with it becomes one line."""
    try:
        with safe_open(path, framework="numpy") as handle:
            yield handle
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error})") from None
    except (SafetensorError, TypeError, AttributeError) as error:
        detail = str(error) or type(error).__name__
        raise UserError(f"{path} is not a whole safetensors file ({detail}): make it again") from None


def load_arrays(path: Path) -> Arrays:
    """Read every array of a safetensors file.

    Raises:
        UserError: missing, truncated, or not safetensors.
    """
    with _opened(path) as handle:
        return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Text metadata of a safetensors file.

    Raises:
        UserError: as `load_arrays`.
    """
    with _opened(path) as handle:
        return dict(handle.metadata() or {})


def array_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
