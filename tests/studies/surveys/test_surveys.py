"""Surveys: what is declared, the graph, searches for L0, what takes part in a ranking, and a small one to its end."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from husai.activations.source import PlantedSource
from husai.errors import UserError
from husai.events import Silent, listening
from husai.recipes import RECIPES, recipe
from husai.saes.config import ArchetypalConfig, BatchTopKConfig, LinearConfig, ReluL1Config, TopKConfig
from husai.studies.calibrations.calibration import Calibration
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.presenting.survey import survey_answer
from husai.studies.study import Controls
from husai.studies.surveys.plan import CALIBRATION_SEEDS, first_budgets, survey_plan
from husai.studies.surveys.preflight import check_survey
from husai.studies.surveys.run import SurveyRun
from husai.studies.surveys.survey import MATCHED, Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.knobs import EXACT, SEARCHED


def tiny(*arms: SurveyArm, **more: object) -> Survey:
    planted = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=800))
    made = {"steps": 60, "batch": 64, "lr": 1e-2}
    setting = Setting(
        name="planted", title="a small one", source=planted, arms=arms, training=TrainingConfig(**made),
        max_steps=60, controls=Controls(random_models=0),
    )  # fmt: skip
    return Survey(name="tiny", question="which?", settings=(setting.model_copy(update=more),))


def test_too_few_seeds_are_no_reason_to_train_longer(tmp_path: Path) -> None:
    """Three seeds have no interval at any budget: nothing is doubled, and nothing is called undertrained."""
    arms = (SurveyArm(name="k2", sae=TopKConfig(d_sae=12, k=2)), SurveyArm(name="k6", sae=TopKConfig(d_sae=12, k=6)))
    declared = tiny(*arms, seeds=3, ranked=False, training=TrainingConfig(steps=20, batch=64, lr=1e-2), max_steps=160)
    claim = DifferenceClaim(name="c", setting="planted", a="k2", b="k6", factors=("k",))
    with listening(Silent()):
        record = SurveyRun(declared.model_copy(update={"claims": (claim,)}), tmp_path, 1).start()[1]
    assert [arm["steps"] for arm in record.facts["arms"]] == [20, 20]
    (found,) = record.facts["claims"]
    assert found["words"].startswith("no verdict: k2 is of unknown convergence on target: too few seeds (3 < 5)")
    assert "undertrained" not in str(record.facts["claims"]) + record.facts["answer"]


TOPK = SurveyArm(name="topk", sae=TopKConfig(d_sae=12), l0=2)
RELU = SurveyArm(name="relu", sae=ReluL1Config(d_sae=12, l1=3.0), l0=2)
LINEAR = SurveyArm(name="linear", sae=LinearConfig(d_sae=6))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_named_as_they_are_found_and_keep_what_they_declare(name: str) -> None:
    made = recipe(name)()
    assert made.name == name
    assert type(made).parse(made.plain()) == made
    if isinstance(made, Calibration):
        made = made.survey((made.search(),))
    if not isinstance(made, Survey):
        return
    check_survey(made)
    seen: set[str] = set()
    for node in survey_plan(made, first_budgets(made)).nodes:
        assert {up.id for up in node.upstream()} <= seen
        seen.add(node.id)


def test_the_recipe_has_every_architecture_that_reads_one_hook_at_every_l0() -> None:
    full = recipe("architectures")()
    assert isinstance(full, Survey)
    for setting, requested in zip(full.settings[:2], ((4, 8, 32), (2, 3, 6)), strict=True):
        kinds = {(arm.sae.kind, arm.l0) for arm in setting.arms}
        one_hook = (set(EXACT) | set(SEARCHED)) - {"transcoder", "skip_transcoder", "route", "random"}
        assert kinds == {(kind, l0) for kind in one_hook for l0 in requested}
    hooked = {arm.sae.kind for setting in full.settings[2:] for arm in setting.arms}
    assert hooked == {"transcoder", "skip_transcoder", "route", "jsae"}, "those that need several hooks"
    assert not any(setting.ranked for setting in full.settings[2:])
    assert {setting.seeds for setting in full.settings} == {5}


def test_a_knob_that_is_l0_itself_is_set_and_another_is_searched_for_once_per_source() -> None:
    made = survey_plan(tiny(TOPK, RELU), {("planted", "topk"): 60, ("planted", "relu"): 60})
    assert made.stacks["planted", "target", "topk", 60].fields["sae"]["k"] == 2
    assert set(made.calibrations) == {("planted", source, "relu") for source in ("target", "gaussian")}
    found = made.calibrations["planted", "gaussian", "relu"]
    assert found.fields["seeds"] == list(CALIBRATION_SEEDS) and found.fields["l0"] == 2
    assert found.parents["near"] is made.calibrations["planted", "target", "relu"]
    for steps in (30, 60):  # half of the budget is trained with the same value
        assert made.stacks["planted", "gaussian", "relu", steps].parents["calibrated"] is found
    assert not set(CALIBRATION_SEEDS) & set(made.stacks["planted", "target", "relu", 60].fields["seeds"])


def test_a_survey_to_its_end(tmp_path, in_process) -> None:
    survey = tiny(TOPK, RELU, LINEAR)
    folder, record = SurveyRun(survey, tmp_path).start()
    again, same = SurveyRun(survey, tmp_path).start()
    assert again == folder and same.id == record.id
    arms = {arm["arm"]: arm for arm in record.facts["arms"]}
    assert set(arms) == {"topk", "relu", "linear"}
    assert arms["linear"]["reasons"][0] == "unmatched: no L0 was requested"
    assert arms["relu"]["sae"]["l1"] != 3.0, "the search found another value than the one that it began with"
    for name, arm in arms.items():
        where = {"setting": "planted", "arm": name}
        excess = record.get("excess", control="gaussian", level="0.95", **where)
        M = {s: record.get("mcc_signed", source=s, population="alive", **where).value for s in ("target", "gaussian")}
        assert None not in M.values() and excess.value == pytest.approx(M["target"] - M["gaussian"])
        assert record.get("least_excess", **where).value == pytest.approx(excess.value)
        assert record.select("mcc_to_truth", **where)
        assert record.get("explained_variance", source="target", **where).n == 5
        assert (arm["rank"] is None) == bool(arm["reasons"])
    text = survey_answer(folder, record)[1]
    assert "planted, L0 = 2 requested" in text and "planted, as it comes, unmatched" in text


def test_an_arm_whose_l0_is_not_what_was_requested_takes_no_part(tmp_path, in_process) -> None:
    """The search is exact in one place only: with held back steps it ends near, and near is measured on the arm."""
    survey = tiny(TOPK, SurveyArm(name="batchtopk", sae=BatchTopKConfig(d_sae=12), l0=2))
    _, record = SurveyRun(survey, tmp_path).start()
    for arm in record.facts["arms"]:
        for source in ("target", "gaussian"):
            l0 = record.get("l0", setting="planted", arm=arm["arm"], source=source).value
            assert l0 is not None and math.isfinite(l0)
            off = abs(l0 / 2 - 1) > MATCHED
            assert any(reason.startswith(f"unmatched: L0 on {source}") for reason in arm["reasons"]) == off


def test_what_cannot_work_is_said_before_anything_runs() -> None:
    with pytest.raises(UserError, match="planted topk: k = 9 is not sparse for d_in = 8"):
        check_survey(tiny(TOPK.model_copy(update={"l0": 9})))
    with pytest.raises(UserError, match="planted linear: nothing moves the L0 of linear"):
        check_survey(tiny(LINEAR.model_copy(update={"l0": 3})))
    with pytest.raises(UserError, match="two arms are called topk"):
        Setting.parse(tiny(TOPK).settings[0].plain() | {"arms": [TOPK.plain(), TOPK.plain()]})
    from_rows = SurveyArm(name="archetypal", sae=ArchetypalConfig(d_sae=12, k=2, n_centroids=16))
    check_survey(tiny(from_rows, seeds=16))
    with pytest.raises(UserError, match="planted archetypal: at most 16 seeds in a row can start"):
        check_survey(tiny(from_rows, seeds=17))
    assert check_survey(tiny(TOPK, seeds=3)) == [
        "planted: 3 seeds: below 5 there is no interval and no rank",
    ]
