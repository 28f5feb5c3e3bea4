"""A file is whole or absent: under SIGKILL, a full disk, and a folder that says no."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time

import pytest

from husai.errors import UserError
from husai.store.files import (
    disk_errors,
    make_folder,
    read_json,
    remove_temporary,
    sha256,
    write_bytes,
    write_json,
    write_text,
)

WRITER = """
import sys, itertools
from pathlib import Path
from husai.store.files import write_bytes
path = Path(sys.argv[1])
for n in itertools.count():
    write_bytes(path, bytes([n % 256]) * 3_000_000)
    if n == 0:
        print("begun", flush=True)
"""
FULL = """
import resource, sys
from pathlib import Path
from husai.errors import UserError
from husai.store.files import write_bytes, write_json
folder = Path(sys.argv[1])
write_bytes(folder / "early", b"e" * 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
for name, data in (("early", b"x" * 50_000), ("late", b"x" * 50_000)):
    try:
        write_bytes(folder / name, data)
    except UserError as error:
        print(error)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    rng, path = random.Random(seed), tmp_path / "file"
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        data = path.read_bytes()
        assert len(data) == 3_000_000, f"seed {seed}"
        assert len(set(data)) == 1, f"seed {seed}"


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "a").mkdir()
    for name in (".x.json.123.tmp", "a/.y.4.tmp"):
        (tmp_path / name).write_text("half")
    for name in ("x.json", "a/y", "z.tmp", ".hidden"):
        (tmp_path / name).write_text("whole")
    remove_temporary(tmp_path)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == [".hidden", "a/y", "x.json", "z.tmp"]


def test_a_full_disk_is_one_line_and_keeps_what_there_was(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 2
    assert all("no space left while writing" in line and "finished parts are kept" in line for line in lines)
    assert (tmp_path / "early").read_bytes() == b"e" * 1000
    assert [p.name for p in tmp_path.iterdir()] == ["early"]


@pytest.mark.parametrize("below", ["file", "file/sub", "file/sub/deeper"])
def test_a_file_in_the_place_of_a_folder(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / below)
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        write_text(tmp_path / below / "x", "y")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "x", "y")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(os.geteuid() == 0, reason="rights do not stop root")
def test_a_folder_without_rights(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="change its rights"):
            write_text(tmp_path / "x", "y")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EFBIG, "no space left"),
        (errno.EACCES, "change its rights"),
        (errno.EPERM, "change its rights"),
        (errno.EROFS, "change its rights"),
        (errno.ENOTDIR, "a file stands where a folder is needed"),
        (errno.EEXIST, "a file stands where a folder is needed"),
        (errno.EIO, "look at the disk"),
        (errno.ENAMETOOLONG, "File name too long"),
        (errno.EMFILE, "Too many open files"),
        (errno.ENOENT, "No such file or directory"),
    ],
)
def test_whatever_the_disk_says_is_one_line_that_names_the_place(tmp_path, number, words):
    with pytest.raises(UserError, match=words) as caught, disk_errors(tmp_path / "place"):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path / "place") in str(caught.value)


def test_json_is_sorted_readable_and_never_nan(tmp_path):
    path = write_json(tmp_path / "x.json", {"b": 1e-3, "a": ["ä"]})
    assert path.read_text(encoding="utf-8") == '{\n "a": [\n  "ä"\n ],\n "b": 0.001\n}\n'
    assert read_json(path) == {"a": ["ä"], "b": 0.001}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": ["ä"], "b": 0.001}


@pytest.mark.parametrize("data", [b"", b'{"a": 1', b'{"a": "\xff"}', b"[" * 100_000])
def test_json_that_is_not_whole_is_named(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.json is not readable as JSON"):
        read_json(path)
    with pytest.raises(UserError, match=r"y\.json does not exist"):
        read_json(tmp_path / "y.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    path = write_bytes(tmp_path / "x", b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
