"""`husai train` with a coupling: the reference is trained first and apart, and the record says what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from husai.activations.partition import partition
from husai.activations.scaling import Scaling
from husai.activations.source import PlantedSource
from husai.config import content_hash
from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.saes.stack import load_stack
from husai.stability.metrics import mcc_signed
from husai.store.index import Results
from husai.store.layout import read_record
from husai.store.tensors import load_arrays
from husai.studies.alone import TrainJob, given_activations, train_alone
from husai.studies.coupled import REFERENCE_SEEDS, Coupled
from husai.studies.executors.worker import compute
from husai.studies.existing import measure as measure_existing
from husai.studies.node import folder_of, work_of
from husai.studies.nodes.anchors import anchor_rows
from husai.studies.nodes.rows import Rows
from husai.studies.plan import activations_nodes, reference_node, stack_node
from husai.studies.presenting import present
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.config import AlignmentConfig, AssignmentConfig, JointConfig, PinningConfig

pytestmark = pytest.mark.usefixtures("in_process")
PLANTED = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=400))
JOB = TrainJob(sae=TopKConfig(d_sae=24, k=4), training=TrainingConfig(steps=40, batch=64), seeds=2)


@pytest.fixture
def rows(tmp_path, digits):
    np.save(tmp_path / "x.npy", digits[:300])
    return given_activations(tmp_path / "x.npy", None, None, 0)


def test_without_a_coupling_nothing_of_the_node_changes(rows) -> None:
    plain = stack_node(JOB.sae, JOB.training, 40, (0, 1), 0, rows, "x")
    assert "coupling" not in plain.fields and set(plain.parents) == {"activations"}
    assert content_hash(plain.fields["training"]) == content_hash(JOB.training.plain() | {"engine": "cpu"})


def test_ids_of_coupled_seeds_that_are_one_group_are_pinned() -> None:
    """Groups came later, and engine `cpu`: what was trained before is found again, on `reference` where it was."""
    (data,) = activations_nodes(PLANTED, 0)
    sae, training = TopKConfig(d_sae=12, k=2), TrainingConfig(steps=40, batch=32)
    reference = reference_node(sae, training, 40, 0, data, "reference")
    assert reference.id == "53fd77e619179fcd"
    pinned = (
        (AlignmentConfig(), "b7c953378bde5e49", "80c06558c400e8c4"),
        (PinningConfig(), "aa074d3f682557c7", "0820923497885dff"),
    )
    for coupling, before, expected in pinned:
        for size in (None, 2):
            coupled = Coupled(coupling, reference, size)
            for engine, id_ in (("reference", before), ("cpu", expected), ("auto", expected)):
                told = training.model_copy(update={"engine": engine})
                assert stack_node(sae, told, 40, (0, 1), 0, data, "x", coupled=coupled).id == id_
    two = Coupled(AlignmentConfig(), reference_node(sae, training, 40, 0, data, "references", 2), 1)
    grouped = stack_node(sae, training, 40, (0, 1), 0, data, "x", coupled=two)
    assert grouped.fields["group_size"] == 1 and grouped.id != expected
    assert grouped.parents["reference"].fields["seeds"] == [910_000, 910_001]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("coupling={kind: pinning, fraction: .25}", "coupling pinning: 6 of 24 latents are copies"),
        ("coupling={kind: alignment, weight: 3.0}", "coupling alignment: every seed is drawn to one reference"),
        ("coupling={kind: assignment, weight: 3.0}", "coupling assignment: every seed is drawn to one reference"),
    ],
)
def test_a_coupling_from_the_command_line(rows, tmp_path, asked, says) -> None:
    _, plain = train_alone(JOB, rows, tmp_path / "results", 1)
    _, records = train_alone(JOB.override([asked]), rows, tmp_path / "results", 1)
    stack, results = records["stack"], Results(tmp_path / "results")
    assert stack.facts["engine"] == "cpu"
    assert [text for text in stack.facts["warnings"] if text.startswith(says)]
    reference = results.node("stack", stack.parents["reference"])
    assert reference is not None and reference.seeds["seeds"] == list(REFERENCE_SEEDS)
    assert "reference" not in plain["stack"].parents and plain["stack"].id != stack.id
    r = load_stack(results.node_folder("stack", reference.id) / "stack.safetensors").parameters["W_dec"].numpy()[0]
    nearest = [
        np.abs(load_stack(results.node_folder("stack", one.id) / "stack.safetensors").parameters["W_dec"].numpy() @ r.T)
        .max(-1)
        .mean()
        for one in (stack, plain["stack"])
    ]
    assert nearest[0] > nearest[1] + 0.1
    explained = stack.get("explained_variance.reference").value
    assert explained is not None and 0 < explained < 1


def test_what_does_not_fit_is_refused(rows, tmp_path, digits) -> None:
    relu = ["sae={kind: relu_l1, d_sae: 24}", "coupling={kind: pinning}", "training.engine=cpu"]
    with pytest.raises(UserError, match="engine cpu cannot run this: relu_l1 has no fixed number of active latents"):
        train_alone(JOB.override(relu), rows, tmp_path / "results", 1)
    with pytest.raises(UserError, match="fraction"):
        JOB.override(["coupling={kind: pinning, fraction: 1.5}"])
    np.save(tmp_path / "y.npy", digits[300:600])
    others = given_activations(tmp_path / "y.npy", None, None, 0)
    reference = stack_node(JOB.sae, JOB.training, 40, REFERENCE_SEEDS, 0, others, "of other rows")
    coupled = Coupled(PinningConfig(), reference)
    pinned = stack_node(JOB.sae, JOB.training, 40, (0, 1), 0, rows, "pinned", coupled=coupled)
    for node in (rows, others, reference):
        compute(work_of(node, Results(tmp_path)), tmp_path)
    assert folder_of(reference, Results(tmp_path)).exists()
    with pytest.raises(UserError, match="was trained on other rows"):
        compute(work_of(pinned, Results(tmp_path)), tmp_path)


@pytest.fixture
def grouped(rows, tmp_path):
    """Four seeds in two groups, and the folder of their seeds."""
    job = JOB.override(["coupling.kind=joint", "coupling.weight=3.0", "seeds=4", "group_size=2"])
    return train_alone(job, rows, tmp_path / "results", 1)


def test_groups_from_the_command_line(grouped, tmp_path) -> None:
    folder, records = grouped
    stack, measure = records["stack"], records["measure"]
    assert stack.config["group_size"] == 2 and "reference" not in stack.parents
    assert stack.facts["groups"] == measure.facts["groups"] == [0, 0, 1, 1]
    assert not [m for m in stack.measurements if m.name == "explained_variance.reference"]
    assert "in the loss of each seed of the group" in stack.facts["penalties"]["coupling.weight"]
    pairs = load_arrays(Results(tmp_path / "results").node_folder("measure", measure.id) / "pairs.safetensors")
    for population in ("all", "alive"):
        C = pairs[f"mcc_signed|{population}"]
        assert C.shape == (4, 4)
        between = measure.get("mcc_signed.between_groups", population=population)
        within = measure.get("mcc_signed.within_groups", population=population)
        assert between.value == pytest.approx(np.mean([C[i, j] for i in (0, 1) for j in (2, 3)]))
        assert within.value == pytest.approx((C[0, 1] + C[2, 3]) / 2)
        assert within.value > between.value + 0.1
        assert (between.n, between.n_unit, between.no_interval) == (2, "groups", "too few groups (2 < 5)")
        assert within.interval is None and "put in, not found" in within.no_interval and within.n is None
    shown = present.record(measure)
    assert "mcc_signed.between_groups decides: 2 groups of seeds were trained apart" in shown
    (one, *_) = [read_record(path.parent) for path in folder.glob("*/record.json")]
    assert {"mcc_signed", "mcc_signed.between_groups", "mcc_signed.within_groups"} <= {m.name for m in one.measurements}


def test_a_stack_without_groups_is_measured_as_before(rows, tmp_path) -> None:
    _, records = train_alone(JOB.override(["coupling.kind=joint"]), rows, tmp_path / "results", 1)
    for record in records.values():
        assert "groups" not in record.facts and "group_size" not in record.config
    assert not [m for m in records["measure"].measurements if "groups" in m.name]
    assert "decides" not in present.record(records["measure"])


def test_every_group_has_a_reference_of_its_own(rows, tmp_path) -> None:
    job = JOB.override(["coupling.kind=assignment", "coupling.weight=3.0", "seeds=4", "group_size=2"])
    _, records = train_alone(job, rows, tmp_path / "results", 1)
    stack, results = records["stack"], Results(tmp_path / "results")
    reference = results.node("stack", stack.parents["reference"])
    assert reference is not None and reference.seeds["seeds"] == [910_000, 910_001]
    own, its = (
        load_stack(results.node_folder("stack", one.id) / "stack.safetensors").parameters["W_dec"].numpy()
        for one in (stack, reference)
    )
    for place in range(4):
        near = [mcc_signed(own[place], W) for W in its]
        assert near.index(max(near)) == place // 2 and max(near) > min(near) + 0.1
    explained = [stack.get("explained_variance.reference", group=str(group)).value for group in (0, 1)]
    assert None not in explained and explained[0] != explained[1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["group_size=2"], "group_size divides the seeds of a coupling: set one"),
        (["coupling.kind=joint", "seeds=5", "group_size=2"], "5 seeds cannot be divided into groups of 2"),
        (["coupling.kind=joint", "group_size=1"], "joint needs at least two seeds in a group"),
        (["coupling.kind=contrastive", "coupling.anchors=200"], "rows are left for"),
    ],
)
def test_groups_that_do_not_fit_are_refused(rows, tmp_path, changes, says) -> None:
    with pytest.raises(UserError, match=says):
        train_alone(JOB.override(["seeds=4", "group_size=2", *changes]) if "anchors" in changes[-1] else
                    JOB.override(changes), rows, tmp_path / "results", 1)  # fmt: skip


def test_references_that_do_not_fit_are_refused(rows) -> None:
    def stack(seeds, coupled):
        return stack_node(JOB.sae, JOB.training, 40, seeds, 0, rows, "x", coupled=coupled)

    one, two = (reference_node(JOB.sae, JOB.training, 40, 0, rows, "references", n) for n in (1, 2))
    stack((0, 1, 2, 3), Coupled(AssignmentConfig(), two, 2))
    for seeds, coupled, says in (
        ((0, 1, 2, 3), Coupled(AssignmentConfig(), one, 2), "2 groups need 2 references"),
        ((0, 1), Coupled(AssignmentConfig()), "assignment needs a reference"),
        ((0, 1), Coupled(JointConfig(), one), "joint takes no reference"),
        ((0, 910_000), Coupled(AssignmentConfig(), one), "seed 910000 is a reference as well"),
    ):
        with pytest.raises(UserError, match=says):
            stack(seeds, coupled)


def test_anchors_of_groups_are_disjoint_also_in_problems(tmp_path) -> None:
    """Rows of one problem (a, b and b, a) would tie the groups as well as one row would."""
    rows = Rows(Cache(), Scaling.identity(1), np.arange(10, 50), np.arange(10), np.arange(50) // 2)
    drawn = [anchor_rows(rows, (), 1, 0, group, 6).numpy().ravel() for group in range(3)]
    problems = [set(x // 2) for x in drawn]
    assert all(len(p) == 6 for p in problems) and not problems[0] & problems[1] and not problems[1] & problems[2]
    assert all((x >= 10).all() for x in drawn)
    assert (anchor_rows(rows, (), 1, 0, 1, 6).numpy().ravel() == drawn[1]).all()
    assert set(anchor_rows(rows, (), 1, 1, 1, 6).numpy().ravel()) != set(drawn[1])
    with pytest.raises(UserError, match="rows are left for 2 of the 6 anchors of group 3"):
        anchor_rows(rows, (), 1, 0, 3, 6)


def test_where_seeds_have_rows_of_their_own_so_do_the_anchors() -> None:
    rows = Rows(Cache(), Scaling.identity(1), np.arange(10, 50), np.arange(10), None)
    dealt = partition(rows.train_index, 4, 0)
    for group, seeds in enumerate([(0, 1), (2, 3)]):
        own = set(np.concatenate([dealt[seed] for seed in seeds]))
        assert set(anchor_rows(rows, seeds, 4, 0, group, 15).numpy().ravel()) <= own


class Cache:
    """Row n is n."""

    def rows(self, index):
        return index[:, None].astype(np.float32)


def test_agreement_that_was_put_in_is_said_of_them_later(rows, tmp_path) -> None:
    folder, _ = train_alone(JOB.override(["coupling={kind: pinning}"]), rows, tmp_path / "results", 1)
    plain, _ = train_alone(JOB.override(["name=plain"]), rows, tmp_path / "results", 1)
    nothing = (None, None, 100, 0.7, None, None, None, tmp_path, 1)
    runs = [[str(p) for p in sorted(where.iterdir()) if p.is_dir()] for where in (folder, plain)]
    said = [measure_existing.stability(paths, measure_existing.asked(*nothing)) for paths in runs]
    wanted = "SAEs were trained with the coupling pinning, which ties them to a reference"
    assert [any(text.startswith(wanted) for text in found.cautions) for found in said] == [True, False]


def test_to_what_seeds_were_tied_is_said_later(grouped) -> None:
    folder, _ = grouped
    paths = [str(p) for p in sorted(folder.iterdir()) if p.is_dir()]
    nothing = (None, None, 100, 0.7, None, None, None, folder.parent, 1)
    said = measure_existing.stability(paths, measure_existing.asked(*nothing)).cautions
    assert any(
        text.startswith("SAEs were trained with the coupling joint, which ties them to each other") for text in said
    )


@pytest.mark.parametrize(("weight", "warned"), [(30.0, True), (0.01, False)])
def test_a_weight_that_swamps_the_loss_is_marked(rows, tmp_path, weight, warned) -> None:
    job = JOB.override(["coupling.kind=joint", f"coupling.weight={weight}"])
    _, records = train_alone(job, rows, tmp_path / "results", 1)
    said = [text for text in records["stack"].facts["warnings"] if "times the reconstruction loss" in text]
    assert bool(said) == warned and all(text.startswith("coupling joint: its term is ") for text in said)
