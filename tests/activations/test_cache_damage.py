"""200 random injuries: a damaged folder gives one line or the very same data, never other data or a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from husai.activations.cache import ActivationCache
from husai.activations.manifest import Origin
from husai.activations.writer import ShardWriter
from husai.errors import UserError

ROWS = np.random.default_rng(1).standard_normal((64, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "cache"
    origin = Origin(kind="external", synthetic=False, description="rows of a test")
    with ShardWriter(folder, 4, origin, shard_rows=30) as writer:
        writer.append(ROWS, tokens=np.arange(64) % 5, positions=np.arange(64) % 3)
    return folder


def everything(folder: Path) -> list[bytes]:
    cache = ActivationCache(folder)
    parts = [cache.to_array(), cache.column("tokens"), cache.column("positions"), cache.mean_D, cache.covariance_DD]
    return [part.tobytes() for part in parts] + [repr(cache.manifest).encode()]


def refusal(folder: Path) -> str | None:
    """The one line that husai says, or None when it reads the folder."""
    try:
        everything(folder)
    except UserError as error:
        return str(error)
    return None


def injure(path: Path, rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    kind = rng.choice(["cut", "flip", "flips", "grow", "insert", "drop", "zero", "swap", "gone"])
    where = int(rng.integers(len(data)))
    if kind == "cut":
        data = data[:where]
    elif kind == "grow":
        data += bytes(rng.integers(0, 256, int(rng.integers(1, 40)), dtype=np.uint8))
    elif kind == "insert":
        data[where:where] = bytes([int(rng.integers(256))])
    elif kind == "drop":
        del data[where]
    elif kind == "zero":
        data[where : where + 16] = bytes(len(data[where : where + 16]))
    elif kind == "swap":
        other = int(rng.integers(len(data)))
        data[where], data[other] = data[other], data[where]
    else:
        for _ in range(1 if kind == "flip" else 20):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(data))
    return str(kind)


def test_damage_is_never_silent(whole, tmp_path):
    good, refused = everything(whole), 0
    names = sorted(path.name for path in whole.iterdir())
    for case in range(200):
        rng = np.random.default_rng(case)
        folder = tmp_path / str(case)
        shutil.copytree(whole, folder)
        name = names[case % len(names)]
        kind = injure(folder / name, rng)
        changed = not (folder / name).is_file() or (folder / name).read_bytes() != (whole / name).read_bytes()
        message = refusal(folder)
        if message is None:
            assert everything(folder) == good, f"case {case}: {kind} of {name} changed the data in silence"
        else:
            refused += 1
            assert changed, f"case {case}: refused although nothing changed"
            assert "\n" not in message
            assert name in message or "manifest.json" in message, f"case {case}: {message}"
        shutil.rmtree(folder)
    assert refused > 180
