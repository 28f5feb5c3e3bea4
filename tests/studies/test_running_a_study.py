"""A whole study in this process: budgets, ledger, folders, what is returned when asked again, and how it fails."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import pytest

from husai import events
from husai.errors import Interrupted, UserError
from husai.store.index import Results
from husai.store.layout import is_complete, locked, read_record
from husai.studies import computing
from husai.studies.executors.local import Failure
from husai.studies.executors.process import WorkerDied
from husai.studies.ledger import Ledger
from husai.studies.runner import Run

pytestmark = pytest.mark.usefixtures("in_process")


class Heard:
    def __init__(self):
        self.lines = []

    def progress(self, event):
        pass

    def log(self, level, message):
        self.lines.append(message)


@pytest.fixture
def study(tiny_study):
    return tiny_study(seeds=2)


@pytest.mark.parametrize(
    ("enough", "tried"),
    [
        ({"k1": 80, "k3": 20}, [(20, 20), (40, 20), (80, 20)]),
        ({"k1": 40, "k3": 80}, [(20, 20), (40, 40), (40, 80)]),
        ({"k1": 20, "k3": 10**6}, [(20, 20), (20, 40), (20, 80)]),  # up to the cap, and marked
    ],
)
def test_each_arm_is_trained_until_it_has_converged_on_every_source(tmp_path, study, monkeypatch, enough, tried):
    """One source is settled from the start: it is trained as long as the other all the same."""
    run, seen = Run(study.model_copy(update={"max_steps": 80}), tmp_path), []

    def conclude(made, folders, records):
        seen.append(tuple(made.budgets.values()))
        assert set(made.stacks) == {
            (source, arm, steps)
            for source, (arm, budget) in itertools.product(made.sources, made.budgets.items())
            for steps in (budget // 2, budget)
        }
        slow = {arm: steps < enough[arm] for arm, steps in made.budgets.items()}
        trained = {("target", arm): SimpleNamespace(converged=not slow[arm], too_few="") for arm in slow}
        settled = SimpleNamespace(converged=True, too_few="")
        return SimpleNamespace(trained=trained | {("gaussian", arm): settled for arm in slow})

    monkeypatch.setattr("husai.studies.runner.conclude", conclude)
    monkeypatch.setattr(computing.Computing, "nodes", lambda self, nodes: None)
    made, _ = run._until_converged(computing.Computing(run.results, 1, Ledger(tmp_path)))
    assert seen == tried and tuple(made.budgets.values()) == tried[-1]


def test_from_the_first_budget_to_the_report(tmp_path, tiny_study):
    study, heard = tiny_study(seeds=5), Heard()
    with events.listening(heard):
        folder, record = Run(study, tmp_path).start()
    for arm in ("k1", "k3"):
        said = f"{arm} has not converged at 20 steps, going on to 40: target, "
        assert any(line.startswith(said) for line in heard.lines)
    assert [budget["steps"] for budget in record.facts["budgets"]] == [40, 40]
    assert read_record(folder) == record.model_validate(json.loads(record.model_dump_json()))
    assert is_complete(folder)
    assert folder.name.startswith("tiny_") and folder.name.endswith(record.id[:8])
    assert (folder / "report.html").is_file()

    by_id = Results(tmp_path).by_id()
    assert set(record.parents.values()) <= set(by_id)
    seeds = [f for f in by_id.values() if f.parent == folder.parent and f != folder]
    assert len(seeds) == 2 * 5 * 3  # arms, seeds, sources: the target and its twin are the planted rows and theirs here
    assert len(list(folder.parent.glob("*_seed*"))) == len(seeds), "one folder for an id"
    ledger = Ledger(folder.parent).events()
    assert ledger[0]["event"] == "started" and ledger[0]["config"] == study.plain()
    assert ledger[-1]["event"] == "finished" and ledger[-1]["tag"] == "negative result"
    assert ledger[-1]["verdict"] == "no verdict"
    started, finished = ([e["node"] for e in ledger if e["event"] == kind] for kind in ("started", "finished"))
    assert sorted(started) == sorted(finished)

    with events.listening(heard):
        again, same = Run(study, tmp_path).start()
    assert (again, same.id) == (folder, record.id)
    assert heard.lines[-1] == f"already complete: {folder}"
    assert Ledger(folder.parent).events() == ledger


def test_two_seeds_are_no_reason_to_train_longer(tmp_path, study):
    """No budget could show that they have converged."""
    record = Run(study, tmp_path).start()[1]
    assert [budget["steps"] for budget in record.facts["budgets"]] == [20, 20]
    assert "was not checked for convergence" in record.facts["verdict"]["words"]


def test_another_setting_leaves_the_first_study_as_it_was(tmp_path, study):
    one, _ = Run(study, tmp_path).start()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p.name != "ledger.jsonl"}
    two, _ = Run(study.override(["training.lr=2e-2"]), tmp_path).start()
    assert one != two
    assert all(path.read_bytes() == data for path, data in before.items())
    assert not list(tmp_path.rglob("*.damaged-*"))
    wider, _ = Run(study.override(["margin=0.06"]), tmp_path).start()
    assert wider not in (one, two)
    assert len(list(tmp_path.glob("experiments/tiny/*_seed*"))) == 2 * 12, "the same seeds are not written twice"


def test_two_processes_do_not_run_one_study(tmp_path, study):
    run = Run(study, tmp_path)
    with locked(run.folder / run.id, "it"), pytest.raises(UserError, match="already working on study tiny"):
        Run(study, tmp_path).start()
    assert not Ledger(run.folder).events()


def failing(error: Exception):
    class Executor:
        def __init__(self, root, workers):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def run(self, nodes, hooks):
            first = next(iter(nodes))
            hooks.on_start(first)
            return Failure(first, error, "Traceback: in the worker")

    return Executor


def test_a_dead_worker_is_one_line_and_stands_in_the_ledger(tmp_path, study, monkeypatch):
    died = WorkerDied("a worker process died (killed, or out of memory)")
    monkeypatch.setattr(computing, "LocalExecutor", failing(died))
    with pytest.raises(UserError) as caught:
        Run(study, tmp_path).start()
    ledger = Ledger(tmp_path / "experiments" / "tiny")
    assert str(caught.value) == (
        "target activations failed: a worker process died (killed, or out of memory); the trace is in "
        f"{ledger.path}; finished parts are kept: run the same command again to go on"
    )
    node, whole = [e for e in ledger.events() if e["event"] == "failed"]
    assert (node["tag"], node["trace"]) == ("infrastructure fault", "Traceback: in the worker")
    assert node["config"]["source"]["kind"] == "planted"
    assert whole["config"] == study.plain()


def test_an_interruption_says_how_to_go_on_and_is_no_failure(tmp_path, study, monkeypatch):
    monkeypatch.setattr(
        computing, "LocalExecutor", failing(Interrupted("stopped; run the same command again to go on"))
    )
    with pytest.raises(Interrupted, match="run the same command again"):
        Run(study, tmp_path).start()
    kinds = {e["event"] for e in Ledger(tmp_path / "experiments" / "tiny").events()}
    assert kinds == {"started", "interrupted"}
