"""A node that was killed between its last file and its completion is computed again to the same files."""

from __future__ import annotations

import pytest

from husai import events
from husai.activations.source import CapturedSource
from husai.models.config import PretrainConfig, TransformerConfig
from husai.saes.config import ReluL1Config
from husai.store import layout
from husai.store.index import Results
from husai.studies.executors.worker import compute
from husai.studies.node import Node, work_of
from husai.studies.nodes.registry import KINDS
from husai.studies.plan import Plan, plan
from husai.studies.replays.replay import Replay
from husai.studies.replays.run import replay_nodes
from husai.studies.surveys.plan import calibrate_node
from husai.tasks.modular import ModularConfig
from husai.training.config import TrainingConfig


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.fixture
def study_of_every_kind(tiny_study, monkeypatch):
    """A captured target whose model is tiny and taken for readable."""
    from husai.models import sanity

    monkeypatch.setattr(sanity.SanityCheck, "state", property(lambda check: "passed"))
    target = CapturedSource(
        task=ModularConfig(p=11, train_fraction=0.7),
        model=TransformerConfig(d_model=16, n_heads=2, d_mlp=16),
        pretrain=PretrainConfig(batch=32, max_steps=40, eval_every=20, hold=1),
    )
    controls = {"random_models": 2}
    return tiny_study(target=target, controls=controls, seeds=2)


def search(activations: Node) -> Node:
    """A search for an L0, which only surveys have."""
    sae, training = ReluL1Config(d_sae=12, l1=1.0), TrainingConfig(steps=20, batch=32, lr=1e-2)
    return calibrate_node(sae, 2.0, training, 0, activations, "L0 = 2")


def of_the_last_stack(nodes: list[Node]) -> list[Node]:
    """What only surveys ask of a stack."""
    measure = next(node for node in reversed(nodes) if node.kind == "measure")
    return [Node(kind, kind, {"root_seed": 0}, measure.parents) for kind in ("levels", "projection")]


def one_of_every_kind(made: Plan) -> list[Node]:
    """One node of each kind with all that it needs, parents first."""
    wanted = {node.kind: node for node in reversed(made.nodes)}.values()
    needed, queue = set(), list(wanted)
    while queue:
        node = queue.pop()
        needed.add(node.id)
        queue += node.upstream()
    return [node for node in made.nodes if node.id in needed]


def test_every_kind_of_node_starts_over_or_goes_on(tmp_path, study_of_every_kind, monkeypatch):
    complete, dying = layout.Draft.complete, [True]

    def die_first(draft, record):
        if dying[0]:
            layout.write_json(draft.path / "metrics.json", {})
            (draft.path / "left over").write_text("from the killed process")
            raise Killed
        (draft.path / "left over").unlink(missing_ok=True)
        return complete(draft, record)

    monkeypatch.setattr(layout.Draft, "complete", die_first)
    made = plan(study_of_every_kind, 20)
    nodes = [*one_of_every_kind(made), made.activations["planted"], search(made.activations["planted"])]
    nodes += [*of_the_last_stack(nodes), *replay_nodes(Replay(name="few", question="?", claims=("T29",)))]
    nodes = list({node.id: node for node in nodes}.values())
    assert {node.kind for node in nodes} == set(KINDS) - {"saelens_stack"}, "which needs SAELens: see tests/peers"
    root, plain = tmp_path / "killed", tmp_path / "undisturbed"
    for node in nodes:
        dying[0] = True
        with pytest.raises(Killed):
            compute(work_of(node, Results(root)), root)
        assert Results(root).node(node.kind, node.id) is None
        dying[0] = False
        again = compute(work_of(node, Results(root)), root)
        once = compute(work_of(node, Results(plain)), plain)
        assert again.artefacts == once.artefacts, node.title
        assert again.measurements == once.measurements, node.title
    assert not list(root.glob("nodes/.partial-*/"))


def test_what_does_not_resume_starts_in_an_empty_folder(tmp_path, study_of_every_kind):
    node = plan(study_of_every_kind, 20).activations["planted"]
    results = Results(tmp_path)
    left = results.root / "nodes" / f".partial-{node.id}" / "rows"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    record = compute(work_of(node, results), tmp_path)
    assert [a.path for a in record.artefacts if a.path.startswith("rows/manifest")] == ["rows/manifest.json"]
    assert compute(work_of(node, results), tmp_path) == record


def test_a_larger_budget_goes_on_from_the_trunk_of_the_smaller_one(tmp_path, tiny_study):
    """The same files as from scratch, for less."""
    made = plan(tiny_study(), 40)
    rows, half, full = (made.activations["target"], *(made.stacks["target", "k1", steps] for steps in (20, 40)))
    begun, roots = {}, {"after the half": (rows, half, full), "from scratch": (rows, full)}

    class Heard:
        def progress(self, event):
            begun.setdefault(event.title, event.done)

        def log(self, level, message):
            pass

    records = {}
    for name, nodes in roots.items():
        begun.clear()
        with events.listening(Heard()):
            for node in nodes:
                records[name] = compute(work_of(node, Results(tmp_path / name)), tmp_path / name)
        assert begun[full.title] == (16 if name == "after the half" else 0)
    assert records["after the half"].artefacts == records["from scratch"].artefacts
