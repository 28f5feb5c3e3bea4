"""Programmes: hypotheses by their rules, one front over studies, and a small one to its end and again."""

from __future__ import annotations

from typing import Any

import pytest

from husai.activations.source import PlantedSource
from husai.errors import UserError
from husai.recipes import made
from husai.saes.config import TopKConfig
from husai.statistics.estimate import estimate
from husai.statistics.intervals import unit_mean
from husai.store.record import Interval, Measurement
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.programmes.front import FrontArm, as_estimate, standings_of
from husai.studies.programmes.programme import Hypothesis, Programme
from husai.studies.programmes.run import ProgrammeRun
from husai.studies.programmes.words import FEW, doubt_of, hypothesis_facts, verdict
from husai.studies.study import Controls
from husai.studies.surveys.preflight import check_survey
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

YES, NO, OPEN, NONE = "supported", "not supported", "undecided", "no verdict"


def claim(state: str, alone: str = YES, beyond: str = "") -> dict[str, Any]:
    return {
        "study": "s", "claim": "c", "title": "a is more stable", "state": state, "words": f"{state}: D = .1",
        "without_controls": alone, "beyond_controls": beyond or state, "family": "f", "open_together": 2,
        "margin": 0.05,
        "elements": [{"raw": estimated(RAW[alone]), "over": {"gaussian": estimated(OVER[beyond or state])}}],
    }  # fmt: skip


RAW = {YES: 0.3, NO: 0.0, OPEN: 0.06}
OVER = {YES: 0.3, NO: 0.0, OPEN: 0.06, NONE: 0.0}


def estimated(value: float) -> dict[str, Any]:
    return estimate(value, 0.01, 4, level=0.95, method="jackknife", n=5, unit="seeds").plain()


def rule(name: str, *claims: dict[str, Any]) -> str:
    return verdict(Hypothesis.model_construct(name="H", title="", text="", rule=name, claims=(), not_run=()), claims)[0]


@pytest.mark.parametrize(
    ("name", "states", "verdict_"),
    [
        ("all", (YES, YES), YES),
        ("all", (YES, NO), NO),
        ("all", (NONE, NO), NO),
        ("all", (YES, OPEN), OPEN),
        ("all", (YES, NONE), OPEN),
        ("any", (YES, NO), YES),
        ("any", (NO, NO), NO),
        ("any", (NO, NONE), OPEN),
        ("any", (NO, OPEN), OPEN),
        ("any", (NONE, NONE), OPEN),
        ("not run", (YES,), "not run"),
        ("all", (), "not run"),
    ],
)
def test_rules(name: str, states: tuple[str, ...], verdict_: str) -> None:
    assert rule(name, *map(claim, states)) == verdict_


def test_a_conclusion_is_overturned_where_the_controls_take_back_what_the_numbers_alone_would_say() -> None:
    assert rule("overturned", claim(NO, YES), claim(YES, YES)) == YES
    assert rule("overturned", claim(YES, YES), claim(NO, NO)) == NO
    assert rule("overturned", claim(NO, NO)) == OPEN, "there was nothing to take back"
    assert rule("overturned", claim(NONE, YES)) == OPEN, "without a verdict nothing is overturned"
    assert rule("overturned", claim(OPEN, YES), claim(YES, YES)) == OPEN
    assert rule("overturned", claim(NONE, YES), claim(YES, YES)) == OPEN, "one of them has no verdict"
    assert rule("overturned", claim(NO, YES, beyond=YES)) == NO, "explained variance is no control"


def test_over_many_claims_a_lucky_one_overturns_nothing() -> None:
    """Below the margin at 95 %, and no longer so as one of thirty."""
    lucky = claim(NO, YES)
    lucky["elements"][0]["over"]["gaussian"] = estimated(0.019)
    assert rule("overturned", lucky) == YES
    assert rule("overturned", lucky, *[claim(OPEN, NO) for _ in range(29)]) == OPEN


def test_the_least_of_many_elements_overturns_no_more_than_the_claims_own_rule_denies() -> None:
    """A peak over eight arms: one control's difference lies below the margin at 95 %, as the least of eight would."""
    peak = claim(NO, YES)
    peak["elements"] = [{"raw": estimated(0.3), "over": {"gaussian": estimated(0.3)}} for _ in range(8)]
    peak["elements"][3]["over"]["gaussian"] = estimated(0.019)
    assert rule("overturned", peak) == OPEN
    peak["elements"][3]["over"]["gaussian"] = estimated(-0.05)
    assert rule("overturned", peak) == YES
    assert rule("overturned", peak | {"beyond_controls": OPEN}) == OPEN, "the claim itself is not denied"


def test_the_words_name_what_decided() -> None:
    hypothesis = Hypothesis(name="H1", title="t", text="x", rule="any", claims=("s/c",), not_run=("causal checks",))
    facts = hypothesis_facts(hypothesis, [claim(YES), claim(NO) | {"claim": "other"}])
    assert facts["words"] == "as far as it was run, supported: s: a is more stable (supported: D = .1)"
    assert [c["deciding"] for c in facts["claims"]] == [True] and facts["not_run"] == ["causal checks"]
    open_ = hypothesis_facts(hypothesis, [claim(NONE)])
    assert open_["words"] == "undecided: of 1 claim 1 without a verdict; s: a is more stable (no verdict: D = .1)"
    many = [claim(OPEN) for _ in range(FEW + 1)]
    assert hypothesis_facts(hypothesis.model_copy(update={"claims": ()}), many)["words"] == (
        f"undecided: of {FEW + 1} claims {FEW + 1} undecided"
    )


def test_where_the_positive_control_does_not_say_yes_nothing_is_decided() -> None:
    hypothesis = Hypothesis(name="H1", title="t", text="x", rule="any", claims=("s/c",))
    for state in (NO, OPEN, NONE):
        doubt = doubt_of(("s/p",), [claim(YES), claim(state) | {"claim": "p"}])
        found = hypothesis_facts(hypothesis, [claim(YES)], doubt)
        assert found["state"] == OPEN and not any(c["deciding"] for c in found["claims"])
        assert found["words"].startswith("undecided: the positive control does not say yes")
        assert "but for that, supported: s: a is more stable" in found["words"]
    assert doubt_of(("s/p",), [claim(YES) | {"claim": "p"}]) == ""
    assert hypothesis_facts(hypothesis, [claim(NO)], "doubt")["state"] == OPEN, "nor against it"


def front_arm(name: str, ev: float, stable: float, *, half: float = 0.03, takes_part: bool = True) -> FrontArm:
    ms = [
        Measurement(
            name=of, value=value, unit="-", n=5, n_unit="seeds",
            interval=Interval(low=value - half, high=value + half, level=0.95, method="t"),
        )
        for of, value in (("explained_variance", ev), ("least_excess", stable))
    ]  # fmt: skip
    facts = {"arm": name, "takes_part": takes_part}
    return FrontArm(("s", "x", name), "one source", facts, tuple(ms))


def test_on_the_front_is_who_no_other_beats_in_both() -> None:
    arms = [front_arm("a", 0.9, 0.1), front_arm("b", 0.8, 0.3), front_arm("c", 0.7, 0.2), front_arm("d", 0.79, 0.29)]
    found = {key[2]: where for key, where in standings_of(arms).items()}
    assert [name for name, where in found.items() if where["on_front"]] == ["a", "b"]
    assert found["c"]["surely_behind"] == ["b", "d"]
    assert found["d"]["surely_behind"] == [], "behind b, but not surely"
    more = {f"far-{i}": front_arm(f"far-{i}", 0.99 + i / 1000, -0.9 - i / 1000) for i in range(30)}
    found = {key[2]: where for key, where in standings_of([*arms, *more.values()]).items()}
    assert found["c"]["surely_behind"] == [], "among 34 arms the same differences say less"
    early = standings_of([front_arm("a", 0.9, 0.9, takes_part=False), front_arm("b", 0.1, 0.1)])
    assert not early["s", "x", "a"]["on_front"] and early["s", "x", "b"]["on_front"]


def test_arms_of_one_name_are_told_apart() -> None:
    arms = [front_arm("a", 0.9, 0.9), front_arm("b", 0.1, 0.1)]
    again = FrontArm(("other", "y", "a"), "one source", {"arm": "a", "takes_part": True}, arms[0].measurements)
    assert standings_of(arms)["s", "x", "b"]["surely_behind"] == ["a"]
    assert standings_of([*arms, again])["s", "x", "b"]["surely_behind"] == ["other/y/a", "s/x/a"]


def test_a_measurement_of_a_record_is_an_estimate_with_its_own_bounds() -> None:
    given = unit_mean([0.1, 0.2, 0.25, 0.3, 0.2], unit="seeds")
    interval = Interval(low=given.low, high=given.high, level=given.level, method=given.method)
    kept = Measurement(name="x", value=given.value, unit="-", n=5, n_unit="seeds", interval=interval)
    back = as_estimate(kept)
    assert back is not None and back.se == pytest.approx(given.se) and back.df == given.df
    few = as_estimate(Measurement(name="x", value=0.2, unit="-", n=3, n_unit="seeds", no_interval="too few seeds"))
    assert few is not None and not few.bounded
    assert as_estimate(None) is None and as_estimate(Measurement(name="x", value=None, reason="-", unit="-")) is None


def small(name: str, *claims: DifferenceClaim) -> Survey:
    setting = Setting(
        name="planted", title="a small one",
        source=PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=400)),
        arms=tuple(SurveyArm(name=f"k{k}", sae=TopKConfig(d_sae=12, k=k)) for k in (1, 3)),
        training=TrainingConfig(steps=20, batch=32, lr=1e-2), max_steps=20, controls=Controls(random_models=0),
        ranked=False,
    )  # fmt: skip
    return Survey(name=name, question="?", settings=(setting,), claims=claims)


def test_a_programme_to_its_end_and_again(tmp_path, in_process) -> None:
    difference = DifferenceClaim(name="d", setting="planted", a="k1", b="k3", factors=("k",), family="f")
    programme = Programme(
        name="small", question="?", studies=(small("one", difference), small("two")),
        hypotheses=(
            Hypothesis(name="H1", title="t", text="x", rule="any", claims=("one/d",)),
            Hypothesis(name="H5", title="t", text="x", rule="not run", not_run=("everything",)),
        ),
    )  # fmt: skip
    assert Programme.parse(programme.plain()) == programme
    folder, record = ProgrammeRun(programme, tmp_path).start()
    assert record.kind == "programme" and (folder / "report.html").exists()
    assert record.facts["answer"] == "H1 undecided, H5 not run"
    (first,) = record.facts["hypotheses"][0]["claims"]
    assert first["state"] == "no verdict" and "undertrained" in first["words"]
    assert {(f["study"], f["arm"]) for f in record.facts["front"]} == {
        (s, a) for s in ("one", "two") for a in ("k1", "k3")
    }
    assert not any(f["takes_part"] for f in record.facts["front"])
    assert {s["study"]: s["run"] for s in record.facts["studies"]} == {
        role.removeprefix("study "): id_ for role, id_ in record.parents.items()
    }
    assert ProgrammeRun(programme, tmp_path).start()[0] == folder


def test_what_no_study_can_decide_is_refused() -> None:
    with pytest.raises(ValueError, match="H1: no study has the claim one/e"):
        Programme(
            name="small", question="?", studies=(small("one"),),
            hypotheses=(Hypothesis(name="H1", title="t", text="x", rule="all", claims=("one/e",)),),
        )  # fmt: skip
    alone = DifferenceClaim(name="d", setting="planted", a="k1", b="k3", factors=("k",))
    with pytest.raises(ValueError, match="H1: rule any takes all claims of one family"):
        Programme(
            name="small", question="?", studies=(small("one", alone, alone.model_copy(update={"name": "e"})),),
            hypotheses=(Hypothesis(name="H1", title="t", text="x", rule="any", claims=("one/d",)),),
        )  # fmt: skip
    with pytest.raises(ValueError, match="two studies are called one"):
        Programme(name="small", question="?", studies=(small("one"), small("one")))
    with pytest.raises(ValueError, match="positive: no study has the claim one/e"):
        Programme(name="small", question="?", studies=(small("one", alone),), positive=("one/e",))


def test_a_recipe_takes_its_scale_before_the_fields() -> None:
    quick, full = made("phase4c", ["scale=quick"]), made("phase4c")
    assert isinstance(quick, Survey) and isinstance(full, Survey)
    assert quick.settings[0].max_steps < full.settings[0].max_steps
    both = made("phase4c", ["scale=quick", "root_seed=3"])
    assert both.root_seed == 3 and both.settings == quick.settings
    with pytest.raises(UserError, match=r"--set scale=slow: Input should be 'full' or 'quick'"):
        made("phase4c", ["scale=slow"])
    with pytest.raises(UserError, match="unknown key 'scale'"):
        made("quickstart", ["scale=quick"])


@pytest.mark.parametrize("scale", ["full", "quick"])
def test_the_programme_asks_what_its_studies_decide(scale: str) -> None:
    programme = made("programme", [f"scale={scale}"])
    assert isinstance(programme, Programme)
    claims = {h.name: len(h.claims) for h in programme.hypotheses}
    assert set(claims) == {"H1", "H2", "H3", "H4", "H5"} and claims["H1"] == 2
    for study in programme.studies:
        if isinstance(study, Survey):
            check_survey(study)
