"""Calibrations: the rules on numbers made by hand, what is declared, and a small one to its end."""

from __future__ import annotations

import shutil

import pytest

from husai.activations.source import FolderSource, PlantedSource, SurrogateSource
from husai.errors import Refused, UserError
from husai.saes.config import TopKConfig
from husai.studies.alone import CaptureJob, capture_alone
from husai.studies.calibrations.alone import calibration_on
from husai.studies.calibrations.calibration import Calibration
from husai.studies.calibrations.choice import elbow, within
from husai.studies.calibrations.run import CalibrationRun
from husai.studies.surveys.plan import first_budgets, survey_plan
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

PLANTED = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=400))


def tiny(**more: object) -> Calibration:
    fields = {
        "source": PLANTED, "sae": TopKConfig(d_sae=16, aux_k=4), "k": (1, 2, 4),
        "training": TrainingConfig(steps=30, batch=32, lr=1e-2), "max_steps": 30, "ev_floor": 0.1,
    }  # fmt: skip
    return Calibration.parse(fields | more)


def test_the_elbow_is_where_four_fifths_of_the_fall_are_done() -> None:
    assert elbow({1: 1.0, 2: 0.5, 4: 0.21, 8: 0.19, 16: 0.0}) == 8
    assert elbow({1: 1.0, 2: 0.5, 4: 0.19, 8: 0.0}) == 4
    assert elbow({1: 1.0, 2: 0.1, 4: -0.1, 8: 0.0}) == 2, "its size counts: beyond zero it has not fallen further"
    assert elbow({2: 0.3, 4: 0.4}) == 2, "where nothing falls, the smallest"


@pytest.mark.parametrize(("a", "b", "same"), [(4, 6, True), (6, 4, True), (4, 7, False), (8, 4, False), (3, 3, True)])
def test_a_k_is_found_within_a_factor_of_one_and_a_half(a: int, b: int, same: bool) -> None:
    assert within(a, b) == same


def test_twins_have_the_winners_number_and_another_far_from_it() -> None:
    assert tiny().twins(2) == (2, 1)
    assert tiny(k=(1, 2, 4, 8)).twins(4) == (4, 2), "not one of the ends, where projections cannot fall or still may"
    assert tiny(k=(4, 6, 9)).twins(6) == (6,), "none is twice or half as large"
    setting = tiny().twin(2)
    source = setting.source
    assert isinstance(source, SurrogateSource) and (source.n_features, source.n_active) == (16, 2)
    assert {arm.sae.k for arm in setting.arms if isinstance(arm.sae, TopKConfig)} == {1, 2, 4}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": (4, 2)}, "k must rise"),
        ({"k": (2, 2, 4)}, "k must rise"),
        ({"reference_k": 3}, "reference_k = 3 is not among k"),
        ({"seeds": 200}, "less than 100"),
        ({"seeds": 4}, "greater than or equal to 5"),
        ({"k": (4, 5)}, "k = 4, 5 lie within a factor of 2"),
        ({"k": (0, 4)}, "greater than or equal to 1"),
    ],
)
def test_what_is_declared_wrongly_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tiny(**change)


def test_an_explained_variance_that_no_k_reaches_is_said(tmp_path, in_process, monkeypatch) -> None:
    monkeypatch.setattr("husai.statistics.convergence.Convergence.converged", property(lambda self: True))
    folder, record = CalibrationRun(tiny(ev_floor=0.999), tmp_path).start()
    found = record.facts["calibration"]
    assert found["recommended"] is None and found["words"].startswith("no recommendation: no k can win the search")
    assert record.kind == "survey" and [s["setting"] for s in record.facts["settings"]] == ["search"]
    for candidate in found["search"]["candidates"]:
        assert "is below the floor 0.999" in candidate["why_not"]
    assert (folder / "report.html").exists()


def test_a_calibration_to_its_end(tmp_path, in_process, monkeypatch) -> None:
    """With convergence out of the way: every part is there, and the record says what each of them found."""
    monkeypatch.setattr("husai.statistics.convergence.Convergence.converged", property(lambda self: True))
    declared = tiny(k=(1, 2), training=TrainingConfig(steps=20, batch=32, lr=1e-2), max_steps=20)
    _, record = CalibrationRun(declared, tmp_path).start()
    found = record.facts["calibration"]
    winner = found["search"]["winner"]
    bounds = {c["k"]: c["bound"] for c in found["search"]["candidates"] if not c["why_not"]}
    assert winner == max(bounds, key=lambda k: bounds[k])
    names = [s["setting"] for s in record.facts["settings"]]
    assert names == ["search", "confirm", *(f"twin-{k}" for k in declared.twins(winner))]
    criteria = {c["criterion"]: c["holds"] for c in found["criteria"]}
    reference = {"reference"} if winner != declared.reference else set()
    twins = {f"twin {k}" for k in declared.twins(winner)}
    assert set(criteria) == {"confirmation", "projections", *reference, *twins}
    assert (found["recommended"] == winner) == all(criteria.values())
    assert record.config["calibration"] == declared.plain()
    assert record.select("mcc_to_truth", setting=f"twin-{winner}"), "the truth of a twin is known"
    again = CalibrationRun(declared, tmp_path).start()[1]
    assert again.id == record.id


def test_on_a_users_own_folder_or_file(tmp_path, in_process) -> None:
    folder, record = capture_alone(CaptureJob(source=PLANTED), tmp_path / "results", 1)
    declared = calibration_on(folder, None, None, "4,1,2", 0.3, ["sae.d_sae=16", "seeds=5"])
    assert declared.k == (1, 2, 4) and declared.ev_floor == 0.3 and isinstance(declared.source, FolderSource)
    survey = declared.survey((declared.search(),))
    nodes = survey_plan(survey, first_budgets(survey)).activations
    assert nodes["search", "target"].id == record.id
    with pytest.raises(Refused, match="planted"):
        CalibrationRun(declared, tmp_path / "results").start()
    allowed = declared.override(["source.synthetic_kinds=[planted]"])
    assert all("sparse" in text for text in CalibrationRun(allowed, tmp_path / "results").warnings())
    moved = shutil.copytree(folder, tmp_path / "moved")
    same = calibration_on(moved, None, None, "4,1,2", 0.3, ["sae.d_sae=16", "seeds=5"])
    assert CalibrationRun(same, tmp_path).id == CalibrationRun(declared, tmp_path).id, "a place is no part of an id"
    with pytest.raises(UserError, match="--k four: write whole numbers"):
        calibration_on(folder, None, None, "four", 0.3, [])
    with pytest.raises(UserError, match="--k 4,8,4: 4 is there twice"):
        calibration_on(folder, None, None, "4,8,4", 0.3, [])
    with pytest.raises(UserError, match="does not exist"):
        calibration_on(tmp_path / "nothing", None, None, "4,8", 0.3, [])
