"""Arms that SAELens trains: its own classes on husai's rows, the same function afterwards, the same bytes twice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from husai import events
from husai.activations.source import PlantedSource
from husai.errors import Interrupted, Refused, UserError
from husai.saes.config import AnySAEConfig, ReluL1Config, TopKConfig
from husai.saes.sae import SAE
from husai.saes.stack import load_stack
from husai.seeds import Role
from husai.stability.pairwise import pairwise
from husai.store.files import read_json
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.store.tensors import load_arrays
from husai.studies import trained_by
from husai.studies.executors.worker import compute
from husai.studies.node import Node, folder_of, work_of
from husai.studies.nodes.rows import open_rows
from husai.studies.plan import activations_nodes, stack_node
from husai.studies.study import Controls
from husai.studies.surveys.conclude import conclude_survey
from husai.studies.surveys.estimate import survey_seconds
from husai.studies.surveys.plan import first_budgets, survey_plan
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.studies.trained_by import saelens_stack_node
from husai.tasks.planted import PlantedConfig
from husai.training import saelens
from husai.training.config import TrainingConfig
from husai.training.dead import dead_mask
from husai.training.schedules import learning_rate

pytest.importorskip("sae_lens", reason="sae_lens is not installed: make peers")

PLANTED = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=800))
TRAINING = TrainingConfig(steps=60, batch=64, lr=1e-2, decay=0.5)
FILES = ("stack.safetensors", "start.safetensors", "trajectory.safetensors", "history.json", "metrics.json")
CONFIGS: dict[str, AnySAEConfig] = {
    "topk": TopKConfig(d_sae=12, k=2, aux_k=3),
    "topk-uncentred": TopKConfig(d_sae=12, k=2, subtract_b_dec=False),
    "topk-free": TopKConfig(d_sae=12, k=2, decoder_norm="free"),
    "relu": ReluL1Config(d_sae=12, l1=0.5),
    "relu-uncentred": ReluL1Config(d_sae=12, l1=0.5, subtract_b_dec=False),
    "relu-free": ReluL1Config(d_sae=12, l1=0.5, decoder_norm="free"),
}


def trained(
    root: Path, config: AnySAEConfig, seeds: tuple[int, ...] = (0, 1), training: TrainingConfig = TRAINING
) -> tuple[RunRecord, Path, Node]:
    (rows,) = activations_nodes(PLANTED, 0)
    node, results = saelens_stack_node(config, training, training.steps, seeds, 0, rows, "x"), Results(root)
    record = [compute(work_of(each, results), root) for each in (rows, node)][-1]
    return record, folder_of(node, results), rows


@pytest.mark.parametrize("decay", [0.0, 0.2, 0.5, 1.0])
def test_the_rate_is_that_of_husais_schedule_at_every_step(decay: float) -> None:
    training = TRAINING.model_copy(update={"decay": decay, "steps": 20})
    trainer, x = saelens.trainer_of(CONFIGS["topk"], training, 8), torch.randn(64, 8)
    for step in range(20):
        (group,) = trainer.optimizer.param_groups
        assert group["lr"] == pytest.approx(learning_rate(training, 20, step), rel=1e-9, abs=1e-12)
        assert (group["betas"], group["eps"]) == ((0.9, 0.999), saelens.EPS)
        saelens.one_step(trainer, x)


@pytest.mark.parametrize(("dead_after", "batch"), [(1, 64), (64, 64), (65, 64), (10_000, 448)])
def test_a_latent_is_dead_after_as_many_rows_as_husai_allows(dead_after: int, batch: int) -> None:
    config = TopKConfig(d_sae=12, k=2, dead_after=dead_after)
    trainer = saelens.trainer_of(config, TRAINING.model_copy(update={"batch": batch}), 8)
    for passes in range(1, math.ceil(dead_after / batch) + 2):
        trainer.n_forward_passes_since_fired[:] = passes
        ours = dead_mask(torch.zeros(1, dtype=torch.int64), passes * batch, dead_after)
        assert bool(trainer.dead_neurons[0]) == bool(ours[0])


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_kept_is_the_function_that_saelens_trained(name: str) -> None:
    config, torch_state = CONFIGS[name], torch.get_rng_state()
    trainer = saelens.trainer_of(config, TRAINING, 8)
    x = torch.randn(400, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(30):
        saelens.one_step(trainer, x)
    theirs, p = trainer.sae, saelens.converted(config, trainer.sae)
    ours = SAE(config, p, torch.zeros(8), 1.0)
    with torch.no_grad():
        f, y, norm_F = theirs.encode(x), theirs(x), theirs.W_dec.norm(dim=-1)
    if name.startswith("relu") and config.decoder_norm == "unit":
        f = f * norm_F  # SAELens' codes are in units of decoder rows of any norm
    assert (f > 0).any() and (norm_F - 1).abs().min() > 1e-3
    assert (ours.encode(x) - f).abs().max() < 1e-5 * max(1.0, float(f.max()))
    assert (ours(x) - y).abs().max() < 1e-5 * max(1.0, float(y.abs().max()))
    norms = ours.W_dec.norm(dim=-1)
    assert torch.allclose(norms, torch.ones(12)) if config.decoder_norm == "unit" else torch.allclose(norms, norm_F)
    saelens.check_same(config, p, theirs, x)
    for changed in ("W_enc", "W_dec", "b_dec"):
        with pytest.raises(Refused, match=r"differ on .* of 400 rows"):
            saelens.check_same(config, p | {changed: p[changed] * 1.01 + 0.01}, theirs, x)
    torch.set_rng_state(torch_state)


def test_a_row_whose_selection_is_tied_may_differ_and_no_other() -> None:
    config = TopKConfig(d_sae=3, k=1)
    p = {"W_enc": torch.eye(3), "b_enc": torch.zeros(3), "W_dec": torch.eye(3), "b_dec": torch.zeros(3)}
    x = torch.tensor([[1.0, 1.0 + 1e-6, 0.0], [2.0, 1.0, 0.0]])

    def theirs(x_BD: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.tensor([1.0, 0.0, 0.0]), wrong])  # the first row keeps the other of two tied ones

    wrong = torch.tensor([2.0, 0.0, 0.0])
    saelens.check_same(config, p, theirs, x)
    wrong = torch.tensor([0.0, 1.0, 0.0])
    with pytest.raises(Refused):
        saelens.check_same(config, p, theirs, x)


@pytest.mark.parametrize("name", ["topk", "relu"])
def test_the_same_bytes_twice_in_a_stack_and_alone(name: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    _, both, _ = trained(tmp_path / "a", CONFIGS[name])
    assert torch.equal(torch.get_rng_state(), before), "torch's own stream belongs to others"
    torch.manual_seed(99)
    _, again, _ = trained(tmp_path / "b", CONFIGS[name])
    _, alone, _ = trained(tmp_path / "c", CONFIGS[name], (1,))
    for file in FILES:
        assert (both / file).read_bytes() == (again / file).read_bytes()
    for file in FILES[:2]:
        stack, one = load_stack(both / file), load_stack(alone / file)
        assert all(torch.equal(stack.parameters[n][1], one.parameters[n][0]) for n in one.parameters)
        assert not torch.equal(stack.parameters["W_enc"][0], stack.parameters["W_enc"][1])
    torch.set_rng_state(before)


@pytest.mark.parametrize("data", ["shared", "disjoint"])
def test_saelens_gets_the_rows_that_husai_would_train_on(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TRAINING.model_copy(update={"data": data, "steps": 10})
    seen, step = [], saelens.one_step
    monkeypatch.setattr(saelens, "one_step", lambda trainer, x: seen.append(x.clone()) or step(trainer, x))
    _, _, node = trained(tmp_path, CONFIGS["topk"], (3, 4), training)
    rows = open_rows(folder_of(node, Results(tmp_path)), training, 0)
    feed = rows.feed(training, (3, 4), 0, 2 if data == "disjoint" else 1)
    expected = torch.cat([torch.stack([feed.batch(t)[place] for t in range(10)]) for place in (0, 1)])
    assert torch.equal(torch.stack(seen), expected)


def test_seeds_share_their_start_where_it_is_not_varied(tmp_path: Path) -> None:
    _, folder, _ = trained(
        tmp_path, CONFIGS["topk"], training=TRAINING.model_copy(update={"vary": (Role.BATCH_ORDER,)})
    )
    start, end = (load_stack(folder / name).parameters["W_dec"] for name in ("start.safetensors", "stack.safetensors"))
    assert torch.equal(start[0], start[1]) and not torch.equal(end[0], end[1])


def test_the_folder_says_what_was_trained_by_what(tmp_path: Path) -> None:
    record, folder, rows = trained(tmp_path, CONFIGS["topk"])
    facts = record.facts
    assert record.kind == "saelens_stack" and record.config["sae_lens"] == facts["saelens"]["version"]
    assert facts["engine"] == "saelens" and facts["saelens"]["version"] in facts["why_engine"]
    assert (facts["saelens"]["sae"]["k"], facts["saelens"]["trainer"]["lr_decay_steps"]) == (2, 30)
    assert facts["saelens"]["sae"]["aux_loss_coefficient"] == 1.0 and facts["sae"]["aux_k"] == 3
    assert any("AuxK is SAELens' own" in text for text in facts["warnings"])
    assert not any("eps" in text for text in facts["warnings"])
    assert {"steps", "waiting_for_rows"} == set(record.provenance.parts) and record.provenance.parts["steps"] > 0
    snapshots = load_arrays(folder / "trajectory.safetensors")
    assert set(snapshots) == {"step.0", "step.16", "step.60"}
    stack, start = load_stack(folder / "stack.safetensors"), load_stack(folder / "start.safetensors")
    assert np.array_equal(snapshots["step.60"], stack.parameters["W_dec"].numpy())
    unit = torch.nn.functional.normalize(torch.from_numpy(snapshots["step.0"]), dim=-1)
    assert torch.allclose(unit, start.parameters["W_dec"], atol=1e-6)
    ours = stack_node(CONFIGS["topk"], TRAINING, 60, (0, 1), 0, rows, "x")
    assert set(ours.fields) | {"sae_lens"} == set(record.config) and ours.id != record.id


def survey(*arms: SurveyArm) -> Survey:
    setting = Setting(
        name="planted", title="planted rows", source=PLANTED, arms=arms, training=TRAINING, max_steps=60,
        controls=Controls(random_models=0), levels=True, projections=True,
    )  # fmt: skip
    return Survey(name="tiny", question="which?", settings=(setting,))


def test_it_is_measured_like_any_other_arm(tmp_path: Path) -> None:
    topk, relu = TopKConfig(d_sae=12, aux_k=3), CONFIGS["relu"]
    declared = survey(
        SurveyArm(name="topk", sae=topk, l0=2),
        SurveyArm(name="saelens", sae=topk, l0=2, trained_by="saelens"),
        SurveyArm(name="saelens-relu", sae=relu, trained_by="saelens"),
    )
    made, results = survey_plan(declared, first_budgets(declared)), Results(tmp_path)
    nodes = [*made.nodes, *made.extra]
    records = {node.id: compute(work_of(node, results), tmp_path) for node in nodes}
    folders = {node.id: folder_of(node, results) for node in nodes}
    found = conclude_survey(made, folders, records)
    arms = {arm["arm"]: arm for arm in found.facts["arms"]}
    assert found.facts["not_run"] == [] and [arm["trained_by"] for arm in arms.values()] == ["husai", *["saelens"] * 2]
    assert arms["topk"]["sae"] == arms["saelens"]["sae"] and arms["saelens"]["engine"] == "saelens"
    measured = {(m.name, m.scope["arm"]): m for m in found.measurements if m.scope.get("source") == "target"}
    for name in ("l0", "explained_variance", "mcc_to_truth"):
        assert all(measured[name, arm].value is not None for arm in arms)
    assert measured["l0", "saelens"].value == pytest.approx(2, abs=0.05)
    assert measured["explained_variance", "saelens"].value > 0.5
    for source in ("target", "gaussian"):
        half, whole = (made.stacks["planted", source, "saelens", steps] for steps in (30, 60))
        assert half.kind == whole.kind == "saelens_stack" and not whole.after
    level = made.levels["planted", "saelens"]
    untrained = records[level.id].get("mcc_signed", level="untrained", population="all").value
    start = load_stack(folders[made.stacks["planted", "target", "saelens", 60].id] / "start.safetensors")
    expected = pairwise(start.parameters["W_dec"].numpy(), d_in=8).matrix("mcc_signed", "all")
    assert untrained == pytest.approx(expected[np.triu_indices(5, 1)].mean())
    assert survey_seconds(declared, 2) > 0


@pytest.mark.parametrize("aux_k", [0, 3])
def test_its_own_auxk_is_off_where_none_was_declared(aux_k: int, tmp_path: Path) -> None:
    config = TopKConfig(d_sae=24, k=1, aux_k=aux_k, dead_after=64)
    _, folder, _ = trained(tmp_path, config, training=TRAINING.model_copy(update={"lr": 0.1}))
    aux = read_json(folder / "history.json")["aux"]["values"]
    assert np.any(np.array(aux) > 0) == bool(aux_k)


def test_a_stop_is_heard_between_steps(tmp_path: Path) -> None:
    events.request_stop()
    with pytest.raises(Interrupted):
        trained(tmp_path, CONFIGS["topk"])


def test_another_version_than_the_planned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_by, "version", lambda package: "0.1")
    with pytest.raises(UserError, match=r"by sae-lens 0\.1, and sae-lens .* is installed: run the survey again"):
        trained(tmp_path, CONFIGS["topk"])
