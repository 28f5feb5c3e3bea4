"""From a study to its nodes: order, ids, what is shared between budgets and arms, and what a change changes."""

from __future__ import annotations

import pytest

from husai.activations.source import CapturedSource, ExternalSource, SurrogateSource
from husai.config import content_hash
from husai.errors import UserError
from husai.recipes import recipe
from husai.saes.config import TopKConfig
from husai.studies.node import Node
from husai.studies.plan import activations_nodes, plan
from husai.studies.preflight import check_study, width
from husai.studies.runner import Run
from husai.studies.study import Controls, Study

# Ids of what the recipe computes. When they change, results that users have are not found again: if that is meant, say
# it in the changelog and pin them anew.
SMOKE_MODEL = "53fa73f25346b2ea"
SMOKE_TARGET = "e133b39b3a1bcda1"
SMOKE_STACK = "820254e7170d2904"
SMOKE_MEASURE = "260f7d9596c5bc77"
SMOKE_ALL = "6a4f93b56e0b74be"


@pytest.fixture(scope="module")
def smoke() -> Study:
    return recipe("smoke")()


def ids(study: Study, steps: int | None = None) -> dict[str, str]:
    return {role: node.id for role, node in plan(study, steps or study.budgets[-1]).roles().items()}


def changed(study: Study, *assignments: str) -> set[str]:
    """Roles whose node has another id after the change."""
    before, after = ids(study), ids(study.override(list(assignments)))
    assert before.keys() == after.keys()
    return {role for role in before if before[role] != after[role]}


def test_ids_of_the_smoke_study_are_pinned(smoke):
    found, steps = ids(smoke), smoke.budgets[-1]
    assert found["model"] == SMOKE_MODEL
    assert found["activations target"] == SMOKE_TARGET
    assert found[f"stack target k2 {steps}"] == SMOKE_STACK
    assert found[f"measure target k2 {steps}"] == SMOKE_MEASURE
    assert content_hash(sorted(found.values()))[:16] == SMOKE_ALL


@pytest.mark.parametrize("name", ["quickstart", "smoke"])
def test_parents_come_before_children(name):
    study = recipe(name)()
    for steps in study.budgets:
        seen: set[str] = set()
        for node in plan(study, steps).nodes:
            assert {up.id for up in node.upstream()} <= seen
            seen.add(node.id)


def test_every_part_is_planned(smoke):
    made = plan(smoke, smoke.budgets[0])
    random = [f"random-model-{i}" for i in range(5)]
    assert made.sources == ["target", "planted", "planted-gaussian", "gaussian", "gaussian-2", *random]
    kinds = [node.kind for node in made.nodes]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "model": 1,
        "activations": 10,
        "stack": 42,
        "measure": 40,
        "splice": 2,
        "fourier": 2,
    }
    assert made.seeds_of("target") == (0, 1, 2, 3, 4)
    sets = [set(made.seeds_of(name)) for name in (*random, "target")]
    assert sum(map(len, sets)) == len(set.union(*sets)), "models that share seeds are not independent units"
    assert made.seeds_of("random-model-0") == (1000, 1001)
    assert len({node.id for node in made.nodes}) == len(made.nodes)


def test_the_same_numbers_of_seeds_mean_the_same_streams_on_every_source(smoke):
    made = plan(smoke, smoke.budgets[0])
    for (source, _, _), node in made.stacks.items():
        assert node.fields["seeds"] == list(made.seeds_of(source))
        assert node.fields["root_seed"] == smoke.root_seed


def test_budgets_share_everything_up_to_the_trunk(smoke):
    small, large = (plan(smoke, steps) for steps in smoke.budgets)
    first, second = smoke.budgets
    assert {n.id for n in small.activations.values()} == {n.id for n in large.activations.values()}
    for (source, arm, steps), node in large.stacks.items():
        if steps == first:
            assert node.id == small.stacks[source, arm, first].id
            assert large.measures[source, arm, first].id == small.measures[source, arm, first].id
        else:
            assert node.after == (large.stacks[source, arm, first],)
    assert {steps for *_, steps in large.stacks} == {first, second}


def test_only_half_of_the_first_budget_is_measured_in_less_detail(smoke):
    first = smoke.budgets[0]
    for steps in smoke.budgets:
        for (_, _, at), node in plan(smoke, steps).measures.items():
            assert node.fields["detail"] == ("pairs" if at < first else "full")


def test_what_is_done_first_changes_no_id():
    a, b = Node("stack", "x", {"k": 1}), Node("stack", "y", {"k": 2})
    assert Node("stack", "z", {"k": 3}, after=(a, b)).id == Node("stack", "other title", {"k": 3}).id
    assert Node("x", "t", {}, local={"path": "here"}).id == Node("x", "t", {}).id
    assert Node("x", "t", {}, {"p": a}).id != Node("x", "t", {}, {"p": b}).id != Node("x", "t", {}, {"q": b}).id


@pytest.mark.parametrize(
    "assignment", ["margin=0.1", "question=why", "name=other", "remarks=[]", "hypothesis=h", "max_steps=240"]
)
def test_what_is_not_computed_changes_no_node(smoke, assignment, tmp_path):
    other = smoke.override([assignment])
    steps = smoke.budgets[0]
    assert set(ids(other, steps).values()) == set(ids(smoke, steps).values())
    assert Run(other, tmp_path).id != Run(smoke, tmp_path).id


def test_another_k_changes_its_own_arm_only(smoke):
    found = changed(smoke, "arms.0.sae.k=3")
    assert found == {role for role in ids(smoke) if " k2" in role}
    assert {"stack target k2 120", "measure gaussian k2 60", "frozen k2", "splice k2", "fourier k2"} <= found


@pytest.mark.parametrize("assignment", ["target.pretrain.lr=1e-2", "target.task.p=31", "target.model.d_mlp=64"])
def test_another_model_changes_what_comes_from_it(smoke, assignment):
    found = changed(smoke, assignment)
    assert {"model", "activations target", "activations gaussian", "stack target k2 120", "splice k8"} <= found
    assert not any("planted" in role for role in found)
    assert any("random-model" in role for role in found) is (assignment != "target.pretrain.lr=1e-2")


def test_another_positive_control_changes_only_what_comes_from_it(smoke):
    found = changed(smoke, "positive.planted.seed=1")
    assert found == {role for role in ids(smoke) if "planted" in role}


@pytest.mark.parametrize(
    "assignment",
    ["training.lr=1e-2", "training.batch=32", "training.decay=0.5", "training.vary=[sae_init]", "seeds=6"],
)
def test_another_training_changes_every_stack_and_nothing_before(smoke, assignment):
    found = changed(smoke, assignment)
    stacks = {role for role in ids(smoke) if role.split()[0] not in ("model", "activations")}
    few = {role for role in stacks if "random-model" in role or role.startswith("frozen")}
    assert found == (stacks - few if assignment == "seeds=6" else stacks)


def test_another_root_changes_everything(smoke):
    assert changed(smoke, "root_seed=1") == set(ids(smoke))


def test_controls_can_be_switched_off(smoke):
    bare = smoke.model_copy(update={"controls": Controls(random_models=0, frozen_decoder=False), "positive": None})
    made = plan(bare, bare.budgets[0])
    assert made.sources == ["target", "gaussian", "gaussian-2"]
    assert not made.frozen
    assert "frozen" not in made.extras["splice k2"].parents


def test_an_even_modulus_has_no_planes(smoke):
    even = smoke.override(["target.task.p=28"])
    assert [node.kind for node in plan(even, 60).extra] == ["stack", "stack", "splice", "splice"]


def test_a_source_without_a_model(tiny_study):
    made = plan(tiny_study(), 20)
    assert made.model is None
    assert made.sources == ["target", "planted", "planted-gaussian", "gaussian", "gaussian-2"]
    assert made.activations["target"].id == made.activations["planted"].id
    assert made.extra == []


def test_a_surrogate_brings_what_it_is_made_of(tiny_study):
    positive = tiny_study().positive
    made = plan(tiny_study(target=SurrogateSource(of=positive)), 20)
    assert made.model is None
    assert [node.id for node in made.before] == [made.activations["planted"].id]
    assert made.activations["target"].id == made.activations["planted-gaussian"].id
    assert made.needed[0] is made.before[0]
    captured = plan(tiny_study(target=SurrogateSource(of=CapturedSource(), how="shuffled")), 20)
    assert [node.kind for node in captured.before] == ["model", "activations"]
    assert captured.model is None
    assert {node.id for node in captured.before} <= {node.id for node in captured.roles().values()}


def test_a_file_counts_by_its_content_and_not_by_its_place(tmp_path, tiny_study):
    for name, content in (("a.npy", b"1"), ("b.npy", b"1"), ("c.npy", b"2")):
        (tmp_path / name).write_bytes(content)
    nodes = [activations_nodes(ExternalSource(path=str(tmp_path / name)), 0)[0] for name in ("a.npy", "b.npy", "c.npy")]
    assert nodes[0].id == nodes[1].id != nodes[2].id
    assert nodes[1].local == {"path": str(tmp_path / "b.npy")}
    study = tiny_study(target=ExternalSource(path=str(tmp_path / "a.npy"), d_in=8))
    before = Run(study, tmp_path).id
    (tmp_path / "a.npy").write_bytes(b"3")
    assert Run(study, tmp_path).id != before


def test_a_lost_file_is_named(tmp_path, tiny_study):
    lost = ExternalSource(path=str(tmp_path / "none.npy"))
    with pytest.raises(UserError, match=r"none\.npy does not exist"):
        activations_nodes(lost, 0)
    with pytest.raises(UserError, match=r"none\.npy does not exist"):
        check_study(tiny_study(target=lost))


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("target.hook_name=blocks.0.hook_resid_pst", "unknown hook 'blocks.0.hook_resid_pst': did you mean"),
        ("target.hook_name=blocks.1.hook_resid_post", "did you mean 'blocks.0.hook_resid_post'"),
        ("target.hook_name=blocks.0.attn.hook_z", r"gives \[1, 3, 4, 16\]: an SAE reads"),
        ("target.positions=[3]", "has positions 0 to 2"),
        ("arms.0.sae.k=48", "k = 48 is not sparse for d_in = 64, d_sae = 48"),
        ("arms.1.sae.k=32", "k = 32 is not sparse for d_in = 32, d_sae = 48"),
        ("arms.1.sae.aux_k=49", "aux_k"),
        ("target.task.train_fraction=1e-6", "training side of the split is empty"),
        ("target.task.train_fraction=0.9999999", "held-out side of the split is empty"),
        ("target.model.n_ctx=2", "n_ctx=2 is too small"),
    ],
)
def test_what_can_be_known_beforehand_is_refused_beforehand(smoke, assignment, words):
    assignments = [assignment] + (["arms.0.sae.aux_k=49"] if "aux_k" in assignment else [])
    with pytest.raises(UserError, match=words):
        check_study(smoke.override(assignments))


def test_widths_are_known_beforehand(smoke):
    assert width(smoke.target) == 64
    assert width(smoke.override(["target.hook_name=blocks.0.mlp.hook_post"]).target) == 128
    assert width(SurrogateSource(of=smoke.target)) == 64
    assert TopKConfig().k < width(CapturedSource())
