"""A run belongs to one process at a time, and a dead process holds nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from husai.errors import UserError
from husai.store.layout import locked

HOLDER = """
import sys
from pathlib import Path
from husai.store.layout import locked
with locked(Path(sys.argv[1]), "this"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_is_refused_in_one_line_and_a_dead_one_holds_nothing(tmp_path):
    folder = tmp_path / "x" / "run"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            with pytest.raises(UserError, match="another process is already working on my run: wait for it") as caught:
                locked(folder, "my run").__enter__()
            assert len(str(caught.value).splitlines()) == 1
        finally:
            holder.kill()
    with locked(folder, "my run"):
        pass


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "x", "it"):
        raise RuntimeError
    with locked(tmp_path / "x", "it"):
        pass
