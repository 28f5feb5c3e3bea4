"""Real worker processes: killed, orphaned, failing, stopped, and started from a plain script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from husai import events
from husai.errors import Interrupted, Refused, UserError
from husai.store.index import Results
from husai.store.layout import is_complete
from husai.studies.alone import Steps
from husai.studies.executors.local import Hooks, LocalExecutor
from husai.studies.executors.process import WorkerDied
from husai.studies.executors.worker import compute
from husai.studies.ledger import Ledger
from husai.studies.node import Node, folder_of, work_of
from husai.training.state import load_state

STEPS = 1500
PARENT = """
import os, sys
from pathlib import Path
import psutil
from husai import events
from husai.activations.source import PlantedSource
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.studies.executors.local import Hooks, LocalExecutor
from husai.studies.node import work_of
from husai.studies.plan import activations_nodes, stack_node
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

class Tell:
    def progress(self, event):
        if event.done and event.title == "endless":
            print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
    def log(self, level, message): pass

root = Path(sys.argv[1])
(rows,) = activations_nodes(PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=400)), 0)
stack = stack_node(TopKConfig(d_sae=12, k=2), TrainingConfig(batch=32), 10**7, (0,), 0, rows, "endless")
with events.listening(Tell()), LocalExecutor(root, 2) as executor:
    executor.run([rows, stack], Hooks(lambda n: work_of(n, Results(root)), lambda n: None, lambda n: None))
"""
SCRIPT = """
import sys
from pathlib import Path
from own import study
from husai.studies.runner import Run
print("begun")
folder, record = Run(study(), Path(sys.argv[1]), workers=2).start()
print(record.facts["verdict"]["state"], (folder / "report.html").is_file())
"""


class Heard:
    """Listener that may act on progress."""

    def __init__(self, act=lambda event: None):
        self.act, self.titles = act, []

    def progress(self, event):
        self.titles.append(event.title)
        self.act(event)

    def log(self, level, message):
        self.titles.append(message)


def hooks(root: Path, started: list[str] | None = None, done: list[str] | None = None) -> Hooks:
    first, last = started if started is not None else [], done if done is not None else []
    return Hooks(
        lambda node: work_of(node, Results(root)),
        lambda node: first.append(node.title),
        lambda node: last.append(node.title),
    )


def children() -> set[int]:
    """Living workers: not what multiprocessing keeps for itself, nor what a browser of another test starts."""
    found = psutil.Process().children()
    return {
        p.pid for p in found if p.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(p.cmdline())
    }


def test_a_killed_worker_is_one_line_and_the_rest_is_kept(tmp_path, long_stack):
    rows, first = long_stack(STEPS)
    _, second = long_stack(20 * STEPS, seed=1)
    root, before, killed = tmp_path / "killed", children(), []

    def kill(event):
        if event.title == "stack 0" and event.done > 100 and not killed:
            worker = next(w for w, node in executor.running.items() if node.id == first.id)
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)

    with events.listening(Heard(kill)), LocalExecutor(root, 2) as executor:
        failure = executor.run([rows, first, second], hooks(root))
    assert killed
    assert failure is not None
    assert failure.node.id == first.id
    assert isinstance(failure.error, WorkerDied)
    assert str(failure.error) == "a worker process died (killed, or out of memory)"
    assert children() == before
    results = Results(root)
    assert is_complete(folder_of(rows, results))
    assert not folder_of(first, results).exists()
    saved = list((root / "nodes").glob(f".partial-{second.id}/trunk.safetensors"))
    assert len(saved) == 1

    with LocalExecutor(root, 1) as executor:
        assert executor.run([first], hooks(root)) is None
    plain = tmp_path / "undisturbed"
    for node in (rows, first):
        compute(work_of(node, Results(plain)), plain)
    stacks = [(folder_of(first, Results(place)) / "stack.safetensors").read_bytes() for place in (root, plain)]
    assert stacks[0] == stacks[1]


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(text) for text in parent.stdout.readline().split()]
        parent.kill()
    assert pids
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(alive(pid) for pid in pids):
        time.sleep(0.05)
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_crash_keeps_its_trace_in_the_ledger(tmp_path, long_stack):
    rows, _ = long_stack(20)
    broken = Node("measure", "a broken node", {"detial": "full"}, {"activations": rows})
    with pytest.raises(
        UserError, match=r"^a broken node failed: KeyError: 'detail'; the trace is in .*ledger\.jsonl; "
    ):
        Steps(tmp_path, "x", 1).run([rows, broken])
    lines = Ledger(tmp_path / "experiments" / "x").events()
    assert [(e["event"], e["title"]) for e in lines][-1] == ("failed", "a broken node")
    assert lines[-1]["tag"] == "infrastructure fault"
    assert lines[-1]["config"] == {"detial": "full"}
    assert "measure.py" in lines[-1]["trace"] and "KeyError" in lines[-1]["trace"]
    assert is_complete(folder_of(rows, Results(tmp_path)))
    assert not list((tmp_path / "nodes").glob("measure-*"))


def test_a_refusal_in_a_worker_keeps_its_kind(tmp_path, long_stack):
    from husai.saes.config import TopKConfig
    from husai.studies.plan import stack_node
    from husai.training.config import TrainingConfig

    rows, _ = long_stack(20)
    few = stack_node(TopKConfig(d_sae=500, k=2), TrainingConfig(), 20, (0,), 0, rows, "too many latents")
    with pytest.raises(Refused, match="fewer than the 500 latents"):
        Steps(tmp_path, "x", 1).run([rows, few])
    assert Ledger(tmp_path / "experiments" / "x").events()[-1]["event"] == "refused"


def test_processes_start_when_needed_are_kept_and_go(tmp_path, long_stack):
    rows, stack = long_stack(20)
    _, other = long_stack(20, seed=1)
    before, started, done = children(), [], []
    with LocalExecutor(tmp_path, 2) as executor:
        assert executor.run([], hooks(tmp_path)) is None
        assert children() == before
        assert executor.run([rows], hooks(tmp_path, started, done)) is None
        first = children() - before
        assert executor.run([stack], hooks(tmp_path, started, done)) is None
        assert children() - before == first
        assert len(first) == 1
        assert executor.run([other], hooks(tmp_path, started, done)) is None
    assert children() == before
    assert started == done == [rows.title, stack.title, other.title]


def test_a_stop_saves_and_starts_nothing_new(tmp_path, long_stack):
    rows, stack = long_stack(100 * STEPS)
    _, never = long_stack(20, seed=1)
    started: list[str] = []

    def stop(event):
        if event.title == "stack 0" and event.done > 50:
            events.request_stop()

    with events.listening(Heard(stop)), LocalExecutor(tmp_path, 1) as executor:
        failure = executor.run([rows, stack, never], hooks(tmp_path, started))
    assert failure is not None
    assert isinstance(failure.error, Interrupted)
    assert started == [rows.title, stack.title]
    (checkpoint,) = (tmp_path / "nodes").glob(".partial-*/trunk.safetensors")
    from husai.store.tensors import read_metadata

    assert load_state(checkpoint, read_metadata(checkpoint)["identity"]).step > 50


def test_an_error_in_the_parent_ends_the_workers_at_once(tmp_path, long_stack):
    rows, stack = long_stack(100 * STEPS)
    before = children()

    def break_off(event):
        if event.title == "stack 0" and event.done:
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), events.listening(Heard(break_off)), LocalExecutor(tmp_path, 1) as executor:
        executor.run([rows, stack], hooks(tmp_path))
    assert children() == before
    assert time.monotonic() - begun < 60


def test_a_plain_script_needs_no_guard(tmp_path, own_study):
    (tmp_path / "own.py").write_text(own_study.read_text())
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, "script.py", "results"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["begun", "no verdict True"]
    assert run.stderr == ""
