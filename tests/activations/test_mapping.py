"""Activations larger than memory: few open files, the pages of a batch asked for together, nothing else read."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.activations import mapping
from husai.activations.mapping import SPARE_FILES, Mapped, _runs, allow_files
from husai.activations.stream import Batches, Feed
from husai.errors import UserError

PAGE = mmap.PAGESIZE
MANY_SHARDS = """
import os, resource, sys
from pathlib import Path
import numpy as np
from husai.activations.cache import ActivationCache
from husai.activations.manifest import Origin
from husai.activations.writer import ShardWriter
rows = np.arange(2000, dtype=np.float32).reshape(1000, 2) % 91
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
columns = {name: np.arange(2) for name in ("tokens", "positions", "examples")}
with ShardWriter(Path(sys.argv[1]), 2, Origin(kind="external", synthetic=False, description="x"), shard_rows=2) as w:
    for start in range(0, 1000, 2):
        w.append(rows[start : start + 2], **columns)
cache = ActivationCache(Path(sys.argv[1]))
picked = np.random.default_rng(0).permutation(1000)
print(np.array_equal(cache.rows(picked), rows[picked]), cache.column("tokens").sum(), len(os.listdir("/proc/self/fd")))
"""


@given(
    begins=st.lists(st.integers(0, 60 * PAGE), min_size=1, max_size=30),
    size=st.integers(1, 3 * PAGE),
)
def test_runs_cover_every_byte_and_no_page_in_vain(begins, size):
    runs = _runs(np.array(begins), size)
    asked = {page for begin, length in runs for page in range(begin // PAGE, (begin + length) // PAGE)}
    assert asked == {page for b in begins for page in range(b // PAGE, (b + size - 1) // PAGE + 1)}
    assert all(begin % PAGE == length % PAGE == 0 for begin, length in runs)
    assert all(a + b < c for (a, b), (c, _) in pairwise(runs)), "runs that touch are one"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux shows them")  # noqa: PTH112
def test_hundreds_of_shards_need_one_open_file_each(tmp_path):
    command = [sys.executable, "-c", MANY_SHARDS, str(tmp_path / "rows")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    same, tokens, files = run.stdout.split() or run.stderr
    assert (same, tokens) == ("True", "500")
    assert int(files) < 1100, "two sets of 500 maps: the writer's and the reader's"


@pytest.mark.parametrize(
    ("soft", "hard", "count", "after"),
    [
        (1024, 4096, 100, None),
        (1024, 4096, 1000, 2064),
        (256, 500, 300, 500),
        (256, -1, 1000, 2064),
        (-1, -1, 9999, None),
    ],
)
def test_the_limit_of_open_files_is_raised_where_that_is_allowed(monkeypatch, soft, hard, count, after):
    import resource

    told = []
    assert resource.RLIM_INFINITY == -1
    monkeypatch.setattr(resource, "getrlimit", lambda what: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: told.append(limits))
    allow_files(count)
    assert told == ([] if after is None else [(after, hard)])


def test_too_many_shards_for_the_system_are_refused_in_one_line(monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 1000))
    with pytest.raises(UserError, match=r"^2000 shards need as many open files, and 1000 are allowed: raise .*ulimit"):
        allow_files(2000)
    allow_files(1000 - SPARE_FILES - 1)


def test_rows_are_announced_before_they_are_touched(make_cache, monkeypatch):
    rows = np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32)
    cache, heard = make_cache(rows), []
    monkeypatch.setattr(mapping.os, "posix_fadvise", lambda *told: heard.append(told), raising=False)
    wanted = np.array([7, 250, 8, 120, 251])
    assert np.array_equal(cache.rows(wanted), rows[wanted])
    assert len(heard) == 3, "one run of pages in each of three shards"
    assert {told[3] for told in heard} == {os.POSIX_FADV_WILLNEED}
    heard.clear()
    assert len(cache.rows(np.array([], dtype=np.int64))) == 0
    assert heard == []


def refuses(*told: object) -> None:
    raise OSError(22, "Invalid argument")


def test_where_no_advice_is_taken_the_rows_are_the_same(make_cache, monkeypatch):
    rows = np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32)
    cache, wanted = make_cache(rows), np.array([299, 0, 150])
    monkeypatch.setattr(mapping.os, "posix_fadvise", refuses, raising=False)
    assert np.array_equal(cache.rows(wanted), rows[wanted])
    monkeypatch.delattr(mapping.os, "posix_fadvise")
    assert np.array_equal(cache.rows(wanted), rows[wanted])


def test_views_stay_within_the_file(tmp_path):
    (tmp_path / "bytes").write_bytes(bytes(range(16)))
    file = Mapped.of(tmp_path / "bytes")
    assert file.view(8, np.dtype("<i8"), (1,)).tolist() == [0x0F0E0D0C0B0A0908]
    for begin, shape in ((12, (1,)), (-8, (1,)), (0, (3,)), (0, (-1,))):
        with pytest.raises(ValueError, match="are not within 16"):
            file.view(begin, np.dtype("<i8"), shape)
    with pytest.raises(ValueError):
        file.bytes_N[0] = 1


def test_a_damaged_shard_is_found_before_the_first_step(make_cache):
    rows = np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32)
    cache = make_cache(rows)
    path = cache.folder / "shard-00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"shard-00001.*make it again"):
        Feed(cache, Batches(300, 4, 0, [0]), in_memory=False)
