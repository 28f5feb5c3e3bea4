"""Heads in nodes and studies: no test label is seen, weight 0 is in the sweep, and rows without labels say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heard import Heard
from husai import events
from husai.activations.cache import ActivationCache
from husai.activations.labels import RowLabels, write_labels
from husai.activations.source import CapturedSource, ExternalSource, PlantedSource, Source, SurrogateSource
from husai.errors import UserError
from husai.models.config import PretrainConfig, TransformerConfig
from husai.saes.config import AnySAEConfig, ReluL1Config, SupervisedConfig, TopKConfig
from husai.saes.formats.load import load_named
from husai.saes.stack import load_stack
from husai.store.audit import audit
from husai.store.index import Results
from husai.store.layout import read_record
from husai.store.record import RunRecord
from husai.studies.alone import TrainJob, train_alone
from husai.studies.conclude import conclude
from husai.studies.estimate import step_seconds
from husai.studies.executors.worker import compute
from husai.studies.existing.gaussian_null import NullRequest, check_request
from husai.studies.node import Node, folder_of, work_of
from husai.studies.nodes.rows import open_rows
from husai.studies.plan import GAUSSIAN, GAUSSIAN_2, TARGET, activations_nodes, measure_node, plan, stack_node
from husai.studies.study import Arm, Controls, Study
from husai.studies.surveys.plan import first_budgets, survey_plan
from husai.studies.surveys.run import SurveyRun
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

P, FEATURES = 7, 12
TRAINING = TrainingConfig(steps=40, batch=32, lr=1e-2, held_out=0.3)
PLANTED = PlantedSource(planted=PlantedConfig(d_in=8, n_features=FEATURES, n_active=2, n_rows=400))
UNTRAINED = CapturedSource(
    task=ModularConfig(p=P, train_fraction=0.6),
    model=TransformerConfig(d_model=16, n_heads=2, d_mlp=32),
    pretrain=None,
    random_model=0,
)


def head(weight: float, classes: int = P, label: str = "answer", **more: object) -> TopKConfig:
    return TopKConfig.parse(
        {"d_sae": 20, "k": 3, "supervised": {"weight": weight, "classes": classes, "label": label}} | more
    )


def largest(weight: float, **more: object) -> TopKConfig:
    return head(weight, FEATURES, "largest", d_sae=12, **more)


Run = Callable[..., tuple[Path, RunRecord]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Compute one node in this process, in a results folder of the given name; its folder and record."""

    def go(node: Node, name: str = "results") -> tuple[Path, RunRecord]:
        results = Results(tmp_path / name)
        record = compute(work_of(node, results), tmp_path / name)
        return folder_of(node, results), record

    return go


def stack_on(sae: AnySAEConfig, rows: Node, training: TrainingConfig = TRAINING) -> Node:
    return stack_node(sae, training, training.steps, (0, 1), 0, rows, "stack")


def relabel(folder: Path, change: Callable[[RowLabels], np.ndarray]) -> None:
    """Other labels in a finished folder, as if the task had had them."""
    cache = ActivationCache(folder / "rows")
    (entry,) = cache.manifest.labels
    labels = cache.labels(entry.name)
    new = write_labels(folder / "rows", RowLabels(labels.name, labels.classes, change(labels), labels.test_N))
    cache.manifest.model_copy(update={"labels": (new,)}).write(folder / "rows")


def test_labels_of_rows_that_the_task_or_the_sae_holds_out_change_no_byte(run: Run) -> None:
    (rows,) = activations_nodes(UNTRAINED, 0)
    stack = stack_on(head(1.0), rows)
    folder, _ = run(rows)
    first, _ = run(stack)
    opened = open_rows(folder, TRAINING, 0)
    labels = opened.cache.labels("answer")
    trained = np.isin(np.arange(len(opened.cache)), opened.train_index)
    seen = trained & ~labels.test_N
    assert seen.sum() > 5 and (trained & labels.test_N).sum() > 5 and (~trained & ~labels.test_N).sum() > 5

    garbage = np.random.default_rng(1).integers(0, P, len(seen))
    for name, spared, same in (("other", seen, True), ("control", np.zeros_like(seen), False)):
        other, _ = run(rows, name)
        relabel(other, lambda old, spared=spared: np.where(spared, old.labels_N, garbage))
        again, record = run(stack, name)
        for file in ("stack.safetensors", "history.json", "trajectory.safetensors"):
            assert ((first / file).read_bytes() == (again / file).read_bytes()) == same, (name, file)
        assert record.facts["labels"]["learned_rows"] == seen.sum()


def test_weight_0_gives_the_bytes_of_the_sae_without_a_head(run: Run) -> None:
    (rows,) = activations_nodes(UNTRAINED, 0)
    run(rows)
    reference = TRAINING.model_copy(update={"engine": "reference"})
    bare, _ = run(stack_on(TopKConfig(d_sae=20, k=3), rows, reference))
    beside, record = run(stack_on(head(0.0), rows))
    a, b = (load_stack(folder / "stack.safetensors").parameters for folder in (bare, beside))
    assert b.keys() - a.keys() == {"W_head", "b_head"}
    assert all(a[name].numpy().tobytes() == b[name].numpy().tobytes() for name in a)
    assert (bare / "trajectory.safetensors").read_bytes() == (beside / "trajectory.safetensors").read_bytes()
    assert record.facts["engine"] == "reference"
    assert not any("supervised" in text for text in record.facts["warnings"])


def test_accuracy_is_measured_on_held_out_rows_beside_the_commonest_label(run: Run) -> None:
    (rows,) = activations_nodes(UNTRAINED, 0)
    folder, _ = run(rows)
    relabel(folder, lambda old: np.arange(P * P) // P)  # the first operand: an untrained model shows it
    stack = stack_on(head(1.0), rows, TRAINING.model_copy(update={"steps": 200}))
    trained, record = run(stack)
    warned = "supervised.weight = 1: what the labels did shows only beside the same SAE at weight 0"
    assert record.facts["warnings"][-1] == warned
    _, measured = run(measure_node(stack, rows, 0, "measure"))
    opened, saes = open_rows(folder, TRAINING, 0), load_stack(trained / "stack.safetensors")
    held, labels = opened.held_out_index, opened.cache.labels("answer")
    by_hand = []
    for seed in range(2):
        p = {name: t.numpy().astype(np.float64) for name, t in saes.of(seed).items()}
        codes = saes[seed].encode(opened.held_out()).detach().numpy()
        right = (codes @ p["W_head"].T + p["b_head"]).argmax(1) == labels.labels_N[held]
        assert measured.get("head_accuracy", seed=str(seed)).value == pytest.approx(right.mean())
        both = measured.get("head_accuracy.task_held_out", seed=str(seed)).value
        assert both == pytest.approx(right[labels.test_N[held]].mean())
        assert 0 < right.mean() != both < 1, "else the two could not be told apart"
        by_hand.append(right.mean())
    mean = measured.get("head_accuracy")
    assert mean.value == pytest.approx(np.mean(by_hand)) and f"{len(held)} held-out rows" in mean.unit
    commonest = np.bincount(labels.labels_N[held]).max() / len(held)
    assert measured.get("head_accuracy.majority").value == pytest.approx(commonest)
    assert measured.get("explained_variance").value is not None


def test_where_every_label_is_the_same_nothing_is_fitted(run: Run) -> None:
    (rows,) = activations_nodes(UNTRAINED, 0)
    folder, _ = run(rows)
    for change, says in (
        (lambda old: np.full_like(old.labels_N, 3), "of the rows learned from, every row has the same label"),
        (lambda old: np.where(old.test_N, old.labels_N, -1), "of the rows learned from, no row has a label"),
    ):
        relabel(folder, change)
        with pytest.raises(UserError, match=says):
            run(stack_on(head(0.0), rows))
    held = open_rows(folder, TRAINING, 0).held_out_index
    answers = np.arange(P * P) % P
    relabel(folder, lambda old: np.where(np.isin(np.arange(P * P), held), 2, answers))
    with pytest.raises(UserError, match="of the rows held out, every row has the same label"):
        run(stack_on(head(0.0), rows))


@pytest.mark.parametrize(
    ("source", "sae", "says"),
    [
        (SurrogateSource(of=PLANTED), largest(1.0), r"no label 'largest' \(carried: none\): gaussian surrogate 0 of"),
        (PLANTED, head(1.0), r"no label 'answer' \(carried: largest\)"),
        (
            PLANTED,
            head(1.0, 5, "largest"),
            r"largest has 12 classes on these rows, not 5: set sae.supervised.classes=12",
        ),
    ],
)
def test_rows_that_do_not_carry_the_label_are_refused_in_one_line(
    source: Source, sae: TopKConfig, says: str, run: Run
) -> None:
    *before, rows = activations_nodes(source, 0)
    for node in (*before, rows):
        run(node)
    with pytest.raises(UserError, match=says) as caught:
        run(stack_on(sae, rows))
    assert "\n" not in str(caught.value)


def test_a_head_needs_rows_that_are_held_out(run: Run) -> None:
    (rows,) = activations_nodes(PLANTED, 0)
    run(rows)
    with pytest.raises(UserError, match=r"none are held out: set training\.held_out"):
        run(stack_on(largest(0.0), rows, TRAINING.model_copy(update={"held_out": 0.0})))


@pytest.mark.usefixtures("in_process")
def test_a_users_file_carries_no_labels(tmp_path: Path, digits: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", digits[:200])
    (rows,) = activations_nodes(ExternalSource(path=str(tmp_path / "x.npy")), 0)
    with pytest.raises(UserError, match=r"carry no label 'answer' .* train without a head"):
        train_alone(TrainJob(sae=head(0.0), training=TRAINING, seeds=2), rows, tmp_path / "results", 1)


def test_the_label_of_planted_rows_is_the_largest_coefficient(run: Run) -> None:
    (rows,) = activations_nodes(PLANTED, 0)
    folder, _ = run(rows)
    made, labels = PLANTED.planted.build(), ActivationCache(folder / "rows").labels("largest")
    strongest = np.zeros((len(made.x_ND), FEATURES))
    np.put_along_axis(strongest, made.indices_NK, made.values_NK.astype(np.float64), axis=1)
    assert np.array_equal(labels.labels_N, strongest.argmax(1)) and not labels.test_N.any()


def test_a_probe_beside_reads_the_label_of_planted_rows(run: Run) -> None:
    (rows,) = activations_nodes(PLANTED, 0)
    run(rows)
    stack = stack_on(largest(0.0), rows, TRAINING.model_copy(update={"steps": 300}))
    run(stack)
    _, measured = run(measure_node(stack, rows, 0, "measure"))
    assert measured.get("head_accuracy.majority").value < 0.2 < 0.7 < measured.get("head_accuracy").value


def study(a: AnySAEConfig, b: AnySAEConfig, factor: str = "supervised", target: Source = PLANTED) -> Study:
    return Study.parse(
        {
            "name": "heads",
            "question": "?",
            "hypothesis": "?",
            "target": target,
            "positive": PLANTED,
            "arms": (Arm(name="a", sae=a), Arm(name="b", sae=b)),
            "factor": factor,
            "training": TrainingConfig(steps=20, batch=32, lr=1e-2),
            "max_steps": 20,
        }
    )


@pytest.mark.parametrize(
    ("a", "b", "factor"),
    [
        (largest(1.0), TopKConfig(d_sae=12, k=3), "supervised"),  # no head at all: nothing to hold its accuracy against
        (largest(1.0), largest(0.5), "supervised"),
        (largest(1.0), largest(1.0, k=2), "k"),
    ],
)
def test_a_study_with_a_weight_has_weight_0_beside_it(a: TopKConfig, b: TopKConfig, factor: str) -> None:
    with pytest.raises(UserError, match=r"a has supervised.weight = 1, and no arm is the same at weight 0: add one"):
        study(a, b, factor)
    study(largest(1.0), largest(0.0))
    study(largest(0.0), largest(0.0, k=2), "k")


def test_the_rows_of_a_study_must_carry_the_label() -> None:
    with pytest.raises(UserError, match="a: its head reads answer of 12 classes, the rows will carry largest of 12"):
        study(head(0.0, FEATURES), head(0.0, FEATURES, k=2), "k")
    with pytest.raises(UserError, match="a: its head reads answer of 7 classes, the rows will carry no label"):
        study(head(0.0), head(0.0, k=2), "k", ExternalSource(path="x.npy"))


def setting(*arms: SurveyArm) -> Setting:
    return Setting(name="s", title="?", source=PLANTED, arms=arms, training=TRAINING, max_steps=40)


def test_a_survey_with_a_weight_has_weight_0_beside_it_at_the_same_l0() -> None:
    one = SurveyArm(name="one", sae=largest(1.0), l0=3)
    for beside in (SurveyArm(name="zero", sae=largest(0.0), l0=2), SurveyArm(name="zero", sae=largest(0.0))):
        with pytest.raises(ValueError, match=r"one has supervised.weight = 1, and no arm is the same at weight 0"):
            setting(one, beside)
    setting(one, SurveyArm(name="zero", sae=largest(0.0), l0=3))


def test_on_rows_without_labels_the_head_is_left_out_and_the_engine_stays() -> None:
    made = plan(study(largest(1.0), largest(0.0)), 20)
    for source in (TARGET, GAUSSIAN, GAUSSIAN_2):
        nodes = [made.stacks[source, arm, 20] for arm in ("a", "b")]
        kept = [node.fields["sae"]["supervised"] is not None for node in nodes]
        assert kept == [source == TARGET] * 2
        assert len({node.id for node in nodes}) == (2 if source == TARGET else 1)
        assert all(("without its head" in node.title) == (source != TARGET) for node in nodes)
        assert {node.fields["training"]["engine"] for node in nodes} == {"reference"}


def test_a_search_on_rows_without_labels_has_no_head_either() -> None:
    arms = [SurveyArm(name=f"w{w:g}", sae=ReluL1Config(d_sae=12, supervised=SupervisedConfig(
        weight=w, classes=FEATURES, label="largest")), l0=3) for w in (0, 1)]  # fmt: skip
    survey = Survey(name="s", question="?", settings=(setting(*arms),))
    made = survey_plan(survey, first_budgets(survey))
    for (_, source, _), node in made.calibrations.items():
        assert (node.fields["sae"]["supervised"] is not None) == (source == TARGET)
        assert source == TARGET or node.fields["training"]["engine"] == "reference"
    for (_, source, arm, _), node in made.stacks.items():
        head_of = node.fields["sae"]["supervised"]
        assert head_of is None if source != TARGET else head_of["weight"] == float(arm[1:])


def test_a_study_of_a_weight_is_judged_and_says_what_its_controls_are(computed: Callable[..., object]) -> None:
    done = computed(study(largest(1.0), largest(0.0)), 20)
    conclusion = conclude(done.plan, done.folders, done.records)  # type: ignore[attr-defined]
    assert any("one and the same SAE there" in text for text in conclusion.facts["caveats"])
    found = {(m.scope["source"], m.scope["population"]): m for m in conclusion.measurements if m.name == "difference"}
    assert found[GAUSSIAN, "alive"].value == 0.0
    assert found[TARGET, "alive"].value != 0.0


@pytest.mark.usefixtures("in_process")
def test_a_weight_by_itself_is_warned_of_and_the_null_of_such_saes_has_no_head(tmp_path: Path) -> None:
    (rows,) = activations_nodes(PLANTED, 0)
    heard = Heard()
    with events.listening(heard):
        folder, records = train_alone(TrainJob(sae=largest(1.0), training=TRAINING, seeds=2), rows, tmp_path, 1)
    assert any("at weight 0 (--set sae.supervised.weight=0)" in line for line in heard.lines)
    run_folder = next(path for path in folder.iterdir() if path.is_dir())
    assert "supervised.weight = 1" in " ".join(read_record(run_folder).facts["warnings"])
    stack = folder_of(stack_on(largest(1.0), rows), Results(tmp_path))
    assert stack.name.endswith(records["stack"].id), "the node is that of a study"
    config = check_request(NullRequest(tmp_path, 1), load_named(str(stack)))
    assert config == TopKConfig(d_sae=12, k=3)
    with events.listening(quiet := Heard()):
        train_alone(TrainJob(name="zero", sae=largest(0.0), training=TRAINING, seeds=2), rows, tmp_path, 1)
    assert not any("supervised" in line for line in quiet.lines)


def test_the_time_of_a_step_with_a_head_can_be_estimated() -> None:
    assert step_seconds(largest(1.0), TRAINING, 8) > 0


def test_a_head_can_be_asked_for_on_the_command_line() -> None:
    job = TrainJob().override(["sae.supervised={weight: 0.5, classes: 7}", "sae.supervised.weight=0"])
    assert job.sae.supervised == SupervisedConfig(classes=7)


@pytest.mark.slow
def test_what_a_model_has_learned_is_readable_and_what_none_has_is_not(run: Run) -> None:
    """On held-out rows: the answers of a model that generalised, and nothing of one that was never trained."""
    learned = CapturedSource(
        task=ModularConfig(p=37, train_fraction=0.8),
        model=TransformerConfig(d_model=48, d_mlp=128),
        pretrain=PretrainConfig(lr=5e-3, eval_every=50, max_steps=1500, extra_steps=0),
    )
    training = TrainingConfig(steps=600, batch=128, lr=5e-3)
    found: dict[tuple[bool, float], RunRecord] = {}
    for trained, source in ((True, learned), (False, learned.untrained(0))):
        nodes = activations_nodes(source, 0)
        for node in nodes:
            run(node)
        for weight in (0.0, 0.3):
            stack = stack_on(head(weight, 37, d_sae=96, k=4), nodes[-1], training)
            run(stack)
            _, found[trained, weight] = run(measure_node(stack, nodes[-1], 0, "measure"))
    value = {key: (r.get("head_accuracy").value, r.get("explained_variance").value) for key, r in found.items()}
    assert value[True, 0.3][0] >= value[True, 0.0][0] > 0.9
    assert found[True, 0.3].get("head_accuracy.task_held_out").value > 0.95
    assert max(value[False, 0.0][0], value[False, 0.3][0]) < 0.1, "a label that it saw would show here"
    assert value[False, 0.3][1] < value[False, 0.0][1] - 0.1, "learned by heart, and paid for in variance"


@pytest.mark.usefixtures("in_process")
def test_a_survey_with_heads_to_its_page(tmp_path: Path) -> None:
    arms = tuple(SurveyArm(name=f"w{weight:g}", sae=largest(weight), l0=3) for weight in (0.0, 0.5))
    setting = Setting(
        name="planted", title="labels", source=PLANTED, arms=arms, training=TRAINING, max_steps=40,
        controls=Controls(random_models=0),
    )  # fmt: skip
    folder, record = SurveyRun(
        Survey(name="heads", question="what do labels do?", settings=(setting,)), tmp_path
    ).start()
    page = (folder / "report.html").read_text()
    for arm in ("w0", "w0.5"):
        where = {"setting": "planted", "arm": arm, "source": "target"}
        for name in ("head_accuracy", "head_accuracy.majority"):
            found = record.get(name, **where)
            assert found.value is not None and f"#{found.key}" in page.replace("&amp;", "&")
    assert "Labels read off the codes" in page
    assert any("carry no label" in text for text in record.facts["warnings"])
    assert audit(tmp_path).findings == []
