"""Where a number was made: versions, commit, machine and command; never part of an identity."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version

from husai.store import provenance as module
from husai.store.provenance import commit, now, package_version, processor, provenance


def test_everything_is_said(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/husai", "run", "a study"])
    found = provenance("2020-01-01T00:00:00+00:00", 1.23456, threads=2, parts={"steps": 0.98765})
    assert found.command == "husai run 'a study'"
    assert found.seconds == 1.235
    assert found.parts == {"steps": 0.988}
    assert found.threads == 2
    assert found.packages["torch"] == version("torch")
    assert found.husai == version("husai")
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert all(found.plain().values())


def test_times_are_utc_to_the_second():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())


def test_a_package_that_is_not_there():
    assert package_version("no-such-package-here") == "not installed"


def test_the_commit_is_that_of_this_code_or_says_that_there_is_none(monkeypatch):
    commit.cache_clear()
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?|installed package", commit())
    commit.cache_clear()

    def no_git(*args, **more):
        raise FileNotFoundError

    monkeypatch.setattr(module.subprocess, "run", no_git)
    assert commit() == "installed package"
    commit.cache_clear()


def test_the_commit_does_not_depend_on_where_one_stands(tmp_path):
    code = "from husai.store.provenance import commit; print(commit())"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == commit()


def test_git_is_out_of_reach_of_a_signal_to_all_processes(monkeypatch, tmp_path):
    """A Ctrl-C once ended git as well, and the record then said that there was no commit."""
    (tmp_path / "git").write_text(f"#!{sys.executable}\nimport os\nprint(os.getpgrp())\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    commit.cache_clear()
    group = commit().removesuffix("+changes")
    commit.cache_clear()
    assert group.isdecimal()
    assert int(group) != os.getpgrp()


def test_the_processor_has_a_name():
    assert processor().strip()
