"""Arms that SAELens trains: what can be declared, and what is said where SAELens is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from husai.activations.source import PlantedSource
from husai.errors import UserError
from husai.recipes import recipe
from husai.report.survey_site import write_survey_report
from husai.saes.config import AnySAEConfig, BatchTopKConfig, ReluL1Config, TopKConfig
from husai.saes.config.supervised import SupervisedConfig
from husai.studies import trained_by
from husai.studies.claims.claim import AnyClaim, DifferenceClaim, PeakClaim
from husai.studies.here import here
from husai.studies.presenting.survey import SUMMARY, survey_answer, survey_dry_run
from husai.studies.programmes.programme import Hypothesis
from husai.studies.programmes.words import hypothesis_facts
from husai.studies.study import Controls
from husai.studies.surveys.plan import first_budgets, survey_plan
from husai.studies.surveys.preflight import check_survey
from husai.studies.surveys.run import SurveyRun
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.config import JointConfig

TOPK = TopKConfig(d_sae=12, aux_k=3)
OURS = SurveyArm(name="topk", sae=TOPK, l0=2)
THEIRS = SurveyArm(name="saelens", sae=TOPK, l0=2, trained_by="saelens")
WIDE = SurveyArm(name="wide", sae=TOPK.model_copy(update={"d_sae": 14}), l0=2)
MISSING = "sae_lens is not installed (pip install sae-lens)"
SAID = f"planted saelens: not run: {MISSING}"
# What these had before an arm could be trained by anything else than husai.
ARCHITECTURES, PHASE4A = "104221d22110e699", "a3e5df6bd4399346"
Here = Callable[[str], None]


@pytest.fixture
def saelens_is(monkeypatch: pytest.MonkeyPatch) -> Here:
    """As if this were the reason why SAELens cannot train; as if it were there, for an empty one."""

    def set_to(why: str, version: str = "6.54.12") -> None:
        monkeypatch.setattr(trained_by, "why_not", lambda: why)
        monkeypatch.setattr(trained_by, "version", lambda package: version)

    return set_to


def survey(*arms: SurveyArm, claims: tuple[AnyClaim, ...] = ()) -> Survey:
    planted = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=800))
    setting = Setting(
        name="planted", title="a small one", source=planted, arms=arms, max_steps=40,
        training=TrainingConfig(steps=40, batch=64, lr=1e-2), controls=Controls(random_models=0), levels=True,
    )  # fmt: skip
    return Survey(name="tiny", question="which?", settings=(setting,), claims=claims)


def claim(name: str, a: str, b: str, factor: str, family: str = "") -> DifferenceClaim:
    return DifferenceClaim(name=name, setting="planted", a=a, b=b, factors=(factor,), family=family)


@pytest.mark.parametrize(
    ("sae", "more", "words"),
    [
        (BatchTopKConfig(d_sae=12), {}, "mine: kind must be topk or relu_l1, not batchtopk"),
        (ReluL1Config(d_sae=12), {"l0": 2}, "mine: l0 must be none: .* write the l1 of relu_l1"),
        (TOPK, {"coupling": JointConfig()}, "mine: coupling must be none"),
        (TOPK.model_copy(update={"decoder_norm": "projected"}), {}, "mine: decoder_norm must be unit or free"),
        (TOPK.model_copy(update={"tied_init": False}), {}, "mine: tied_init must be True"),
        (TOPK.model_copy(update={"decorrelation": 0.1}), {}, "mine: decorrelation must be 0.0"),
        (TOPK.model_copy(update={"freeze": "decoder"}), {}, "mine: freeze must be none"),
        (TOPK.model_copy(update={"song_l1": 0.1}), {}, "mine: song_l1 must be None"),
        (TOPK.model_copy(update={"aux_coefficient": 0.5}), {}, "mine: aux_coefficient must be 0.03125"),
        (TOPK.model_copy(update={"supervised": SupervisedConfig(label="answer", classes=5, weight=0.0)}), {},
         "mine: supervised must be None"),
    ],
)  # fmt: skip
def test_what_saelens_cannot_be_asked_for_is_refused_in_one_line(
    sae: AnySAEConfig, more: dict[str, Any], words: str
) -> None:
    SurveyArm(name="mine", sae=sae, **more)  # husai trains it
    with pytest.raises(ValueError, match=words):
        SurveyArm(name="mine", sae=sae, trained_by="saelens", **more)
    with pytest.raises(UserError) as error:
        SurveyArm.parse({"name": "mine", "sae": sae.plain(), "trained_by": "saelens", **_plain(more)})
    assert "\n" not in str(error.value) and "mine: " in str(error.value)
    with pytest.raises(UserError, match="trained_by"):
        SurveyArm.parse(OURS.plain() | {"trained_by": "dictionary_learning"})


def _plain(more: dict[str, Any]) -> dict[str, Any]:
    return {name: value.plain() if hasattr(value, "plain") else value for name, value in more.items()}


@pytest.mark.parametrize("sae", [TOPK, TOPK.model_copy(update={"decoder_norm": "free"}), ReluL1Config(d_sae=12)])
def test_what_it_can_be_asked_for(sae: AnySAEConfig) -> None:
    arm = SurveyArm(name="mine", sae=sae, trained_by="saelens")
    assert SurveyArm.parse(arm.plain()) == arm


def test_an_arm_that_husai_trains_needs_no_saelens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_by, "why_not", lambda: pytest.fail("nobody needs to know"))
    declared = survey(OURS, WIDE)
    assert here(declared).survey is declared and survey_plan(declared, first_budgets(declared)).not_run == {}


def test_the_plan_has_two_whole_trainings_by_saelens(saelens_is: Here) -> None:
    saelens_is("")
    declared = survey(OURS, THEIRS)
    made = survey_plan(declared, first_budgets(declared))
    ours, theirs = ([made.stacks["planted", "target", arm, n] for n in (20, 40)] for arm in ("topk", "saelens"))
    assert [node.kind for node in theirs] == ["saelens_stack"] * 2 and not any(node.after for node in theirs)
    assert ours[1].after == (ours[0],), "husai's own goes on from the trunk"
    for one, other in zip(ours, theirs, strict=True):
        for name in ("sae", "seeds", "root_seed"):
            assert one.fields[name] == other.fields[name]
        assert other.fields["training"] == one.fields["training"] | {"engine": "auto"}
        assert other.fields["sae_lens"] == "6.54.12" and one.parents["activations"] is other.parents["activations"]
    assert made.measures["planted", "target", "saelens", 40].parents["stack"] is theirs[1]
    assert made.levels["planted", "saelens"].parents["stack"] is theirs[1]
    assert made.not_run == {} and check_survey(declared) == []


def test_where_it_is_missing_the_arm_is_left_out_and_the_rest_is_the_same(saelens_is: Here) -> None:
    declared = survey(OURS, THEIRS)
    saelens_is("")
    whole = {node.id for node in survey_plan(declared, first_budgets(declared)).nodes}
    saelens_is(MISSING)
    made = survey_plan(declared, first_budgets(declared))
    alone = survey(OURS)
    assert {node.id for node in made.nodes} < whole
    assert {node.id for node in made.nodes} == {n.id for n in survey_plan(alone, first_budgets(alone)).nodes}
    assert made.not_run == {("planted", "saelens"): SAID} and list(made.budgets) == [("planted", "topk")]
    assert check_survey(declared) == [SAID]
    assert SAID in survey_dry_run(declared, 1)[1].splitlines()[-1]


def test_the_survey_is_another_one_where_saelens_is_missing_or_of_another_version(saelens_is, tmp_path: Path) -> None:
    declared, ids = survey(OURS, THEIRS), set()
    for why, version in ((MISSING, ""), ("", "6.54.12"), ("", "6.60.0")):
        saelens_is(why, version)
        ids.add(SurveyRun(declared, tmp_path).id)
    ids.add(SurveyRun(survey(OURS), tmp_path).id)
    assert len(ids) == 4


def test_surveys_that_husai_trains_keep_their_ids(tmp_path: Path) -> None:
    for name, expected in (("architectures", ARCHITECTURES), ("phase4a", PHASE4A)):
        declared = recipe(name)()
        assert isinstance(declared, Survey) and SurveyRun(declared, tmp_path).id == expected


def test_a_setting_with_nothing_left_is_refused(saelens_is: Here) -> None:
    saelens_is(MISSING)
    with pytest.raises(UserError, match=r"planted: SAELens is to train every arm, and sae_lens is not installed"):
        check_survey(survey(THEIRS))


def test_claims_know_who_trained_an_arm() -> None:
    survey(OURS, THEIRS, claims=(claim("tool", "topk", "saelens", "trained_by"),))
    with pytest.raises(ValueError, match="its arms differ in trained_by"):
        survey(OURS, THEIRS, claims=(claim("tool", "topk", "saelens", "k"),))
    with pytest.raises(ValueError, match="its arms differ in d_sae, trained_by"):
        survey(WIDE, THEIRS, claims=(claim("tool", "wide", "saelens", "trained_by"),))


def test_to_the_end_without_it(saelens_is: Here, tmp_path: Path, in_process: None) -> None:
    saelens_is(MISSING)
    claims = (
        claim("width", "wide", "topk", "d_sae", "all"),
        claim("tool", "topk", "saelens", "trained_by", "all"),
        PeakClaim(
            name="peak", setting="planted", arms=("wide", "saelens"), field="d_sae", factors=("d_sae", "trained_by")
        ),
    )
    folder, record = SurveyRun(survey(OURS, THEIRS, WIDE, claims=claims), tmp_path).start()
    assert record.facts["not_run"] == [SAID] and [arm["arm"] for arm in record.facts["arms"]] == ["topk", "wide"]
    assert record.facts["comparisons"][0]["arms"] == 2
    found = {entry["claim"]: entry for entry in record.facts["claims"]}
    for name in ("tool", "peak"):
        entry = found[name]
        assert (entry["state"], entry["without_controls"], entry["words"]) == ("not run", "not run", SAID)
        assert entry["reasons"] == [{"code": "not run", "text": SAID}] and entry["elements"] == []
    assert found["width"]["state"] != "not run" and found["width"]["open_together"] == 2, "it stays one of two"
    assert record.get("claim.p_holm", claim="tool").value is None
    data, said = survey_answer(folder, record)
    assert data["not_run"] == [SAID] and SAID in said.splitlines()
    assert f"## Not run\n\n- {SAID}\n" in (folder / SUMMARY).read_text()
    page = (folder / "report.html").read_text()
    assert "<h3>Not run</h3>" in page and SAID in page.replace("<wbr>", "")
    again, same = SurveyRun(survey(OURS, THEIRS, WIDE, claims=claims), tmp_path).start()
    assert (again, same.id) == (folder, record.id)
    _of_old_records(record, tmp_path / "old")
    _hypotheses(record.facts["claims"])


def _of_old_records(record: Any, folder: Path) -> None:
    """Records from before say nothing of arms that were not run, and neither do their pages."""
    facts = {name: value for name, value in record.facts.items() if name != "not_run"}
    folder.mkdir()
    write_survey_report(record.model_copy(update={"facts": facts}), {}, folder)
    assert "Not run" not in (folder / "report.html").read_text() + (folder / SUMMARY).read_text()


def _hypotheses(claims: list[dict[str, Any]]) -> None:
    every = [entry | {"study": "tiny"} for entry in claims]
    for rule in ("all", "any", "overturned"):
        of = {"name": "H1", "title": "?", "text": "?", "rule": rule}
        one = hypothesis_facts(Hypothesis(**of, claims=("tiny/tool",)), every)
        assert (one["state"], one["words"]) == ("not run", f"not run; tiny: {SAID}")
        width = next(entry for entry in every if entry["claim"] == "width") | {"state": "supported"}
        both = hypothesis_facts(Hypothesis(**of, claims=("tiny/tool", "tiny/width")), [width, *every[1:]])
        assert both["state"] == ("supported" if rule == "any" else "undecided")
        assert rule == "any" or "1 not run" in both["words"]


def test_why_not_is_asked_of_the_package_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ask = trained_by.why_not.__wrapped__
    monkeypatch.setattr(trained_by, "MODULE", "no_such_sae_lens")
    assert ask() == "no_such_sae_lens is not installed (pip install sae-lens)"
    (tmp_path / "broken_sae_lens.py").write_text("raise RuntimeError('a neighbour\\nof another version')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(trained_by, "MODULE", "broken_sae_lens")
    monkeypatch.setattr(trained_by, "MODULES", ("broken_sae_lens",))
    assert ask() == (
        "broken_sae_lens is installed and cannot be imported (RuntimeError: a neighbour of another version): repair it "
        "(pip install sae-lens)"
    )
