"""Claims of a survey: what is decided, from evidence made by hand, and what is refused or left without a verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from claims_by_hand import Hand, passes_alone_only, survey, topk_arms
from husai.saes.config import AlignedConfig, HierarchicalTopKConfig, JumpReluConfig, TopKConfig
from husai.statistics.tests import t_p_value
from husai.studies.claims.claim import DifferenceClaim, PeakClaim, differing, near_and_far, no_peak
from husai.studies.claims.evidence import Weighed
from husai.studies.claims.judged import Element
from husai.studies.claims.words import claim_facts, claim_measurements, settling, title, words
from husai.studies.surveys.survey import SurveyArm
from husai.training.coupling.config import AlignmentConfig, JointConfig

FLAT = {(arm, source): 0.4 for arm in ("k2", "k4", "k8") for source in ("target", "gaussian")}
K2_OVER_K8 = DifferenceClaim(name="c", setting="here", a="k2", b="k8", factors=("k",))


def judged(hand: Hand, claim=K2_OVER_K8, **more):
    return hand.judge(survey((claim,), **more))[0]


@pytest.mark.parametrize(
    ("target", "gaussian", "state", "alone"),
    [
        (0.6, 0.4, "supported", "supported"),
        (0.6, 0.6, "not supported", "supported"),  # the control has it too: what the stabilities say is overturned
        (0.4, 0.4, "not supported", "not supported"),
        (0.3, 0.4, "not supported", "not supported"),
        (0.45, 0.4, "undecided", "undecided"),  # on the margin
    ],
)
def test_a_difference_counts_as_far_as_the_control_does_not_have_it(target, gaussian, state, alone) -> None:
    found = judged(Hand(FLAT | {("k2", "target"): target, ("k2", "gaussian"): gaussian}))
    assert (found.state, found.raw_state) == (state, alone)
    assert found.elements[0].calls["gaussian"][1].value == pytest.approx(target - gaussian)
    assert words(found).startswith(state)


def test_over_all_of_a_family_the_intervals_are_wider_and_holm_counts_all_of_them() -> None:
    hand = passes_alone_only(Hand(FLAT, spread=0.01), survey((K2_OVER_K8,)), "k2", 5)
    one = judged(hand)
    assert one.state == "supported" and one.family == 1 and 0 < (one.p_holm or 0) < 0.05
    pairs = [("k2", "k8"), ("k4", "k8"), ("k4", "k2"), ("k8", "k4"), ("k8", "k2")]
    family = [DifferenceClaim(name=f"{a}-{b}", setting="here", a=a, b=b, factors=("k",), family="ks") for a, b in pairs]
    found = {j.claim.name: j for j in hand.judge(survey(family))}
    first = found["k2-k8"]
    assert first.family == 5 and first.state == "undecided"
    said, D = first.elements[0].calls["gaussian"]
    assert said == "undecided" and D.level == pytest.approx(0.99)
    p = t_p_value(D.value, D.se or 0, D.df or 0, 0.05)
    assert first.p_holm == pytest.approx(min(1, 5 * p))
    assert max(j.p_holm for j in found.values() if j.p_holm is not None) == 1.0


@pytest.mark.parametrize(
    ("asked", "ev", "state"),
    [
        ("any", 0.5, "supported"),
        ("not lower", 0.9, "supported"),
        ("not lower", 0.8, "not supported"),
        ("not lower", 0.89, "undecided"),
        ("lower", 0.8, "supported"),
        ("lower", 0.9, "not supported"),
        ("lower", 0.95, "not supported"),
    ],
)
def test_explained_variance_is_asked_for_beside_stability(asked, ev, state) -> None:
    claim = K2_OVER_K8.model_copy(update={"quality": asked})
    found = judged(Hand(FLAT | {("k2", "target"): 0.7}, evs={"k2": ev}), claim)
    assert found.state == state
    if asked != "any":
        assert "explained variance" in words(found) and "explained variance" in title(found)
        (m,) = [m for m in claim_measurements(found) if m.name == "claim.explained_variance"]
        assert m.value == pytest.approx(ev - 0.9)


def test_architectures_are_compared_at_one_l0() -> None:
    arms = (SurveyArm(name="a", sae=JumpReluConfig(d_sae=64)), SurveyArm(name="b", sae=TopKConfig(d_sae=64, k=8)))
    claim = DifferenceClaim(name="c", setting="here", a="a", b="b", factors=("kind",))
    means = {(arm, source): 0.4 for arm in ("a", "b") for source in ("target", "gaussian")} | {("a", "target"): 0.7}
    declared = survey((claim,), arms)
    assert Hand(means).judge(declared)[0].state == "supported"
    (found,) = Hand(means, l0={"a": 9.0}).judge(declared)
    assert found.state == "no verdict" and "different L0 on target: a 9, b 8" in words(found)


def test_a_demand_on_explained_variance_that_cannot_be_answered_leaves_no_verdict() -> None:
    claim = K2_OVER_K8.model_copy(update={"quality": "not lower"})
    found = judged(Hand(FLAT | {("k2", "target"): 0.7}, evs={"k2": float("nan")}), claim)
    assert found.state == "no verdict" and "explained variance is missing" in words(found)


def test_half_the_steps_must_leave_explained_variance_on_its_side() -> None:
    claim = K2_OVER_K8.model_copy(update={"quality": "not lower"})
    hand = Hand(FLAT | {("k2", "target"): 0.7}, half_evs={"k2": 0.885})
    assert "explained variance is on the other side" in words(judged(hand, claim))
    assert judged(hand).state == "supported", "where it is not asked for"


def test_what_controls_say_is_kept_apart_from_explained_variance() -> None:
    claim = K2_OVER_K8.model_copy(update={"quality": "not lower"})
    found = judged(Hand(FLAT | {("k2", "target"): 0.7}, evs={"k2": 0.5}), claim)
    assert (found.state, found.beyond_state, found.raw_state) == ("not supported", "supported", "supported")


REASONS = {
    "undertrained": {"early": ("k8",)},
    "collapsed": {"collapsed": ("k2",)},
    "opposite signs": {"changed": {("k2", "target", "all", False): 0.2}},
}


@pytest.mark.parametrize("code", REASONS)
def test_what_leaves_no_verdict(code) -> None:
    means = FLAT | {("k2", "target"): 0.7}
    assert judged(Hand(means)).state == "supported"
    found = judged(Hand(means, **REASONS[code]))
    assert found.state == "no verdict" and code in {reason.code for reason in found.reasons}
    assert words(found).startswith("no verdict: ")
    assert found.p_holm is None


def test_what_is_undecided_says_how_many_seeds_would_settle_it() -> None:
    found = judged(Hand(FLAT | {("k2", "target"): 0.47}, spread=0.02))
    assert found.state == "undecided"
    needed = claim_facts(found)["elements"][0]["would_settle"]["gaussian"]
    assert needed["n"] > 5 and needed["now"] == 5
    assert f"{needed['n']} seeds would settle it" in words(found)
    assert "that of pairs as 1 / (n (n - 2))" in needed["how"], "the twin has the target's seeds: both parts are known"
    assert claim_facts(judged(Hand(FLAT)))["elements"][0]["would_settle"] == {}


def test_of_two_open_controls_the_one_that_needs_more_seeds_settles_it() -> None:
    """A claim needs every control: the number for the nearest one alone would promise too much."""
    found = judged(Hand(FLAT | {("k2", "target"): 0.47}, spread=0.02))
    (element,) = found.elements
    said, D = element.calls["gaussian"]
    wide = replace(D, value=D.value + 0.005, se=3 * (D.se or 0), low=D.value - 0.2, high=D.value + 0.2)
    both = replace(found, elements=(replace(element, calls=element.calls | {"random_model": (said, wide)}),))
    needed = {control: n for control, n in settling(both.elements[0], both).items()}
    assert needed["random_model"].n > needed["gaussian"].n > 5
    assert f"beyond random_model: {needed['random_model'].n} seeds would settle it" in words(both)
    near = replace(wide, value=0.0)
    no = replace(both, elements=(replace(element, calls=element.calls | {"random_model": (said, near)}),))
    (least,) = [n for n in settling(no.elements[0], no).values() if n.outcome == "not beyond"]
    assert f"beyond random_model: {least.n} seeds would settle it" in words(no), "one that falls below is enough"


def test_different_numbers_of_steps_are_said_of_every_decision() -> None:
    for target, state in ((0.7, "supported"), (0.4, "not supported"), (0.45, "undecided")):
        hand = Hand(FLAT | {("k2", "target"): target}, budgets={"k2": 400})
        found = judged(hand)
        assert found.state == state
        assert "trained for different numbers of steps (k8 200, k2 400)" in words(found)
        assert "different numbers of steps" not in words(judged(replace(hand, budgets={})))


def test_architectures_are_never_credited_as_one_factor() -> None:
    arms = (SurveyArm(name="a", sae=JumpReluConfig(d_sae=64)), SurveyArm(name="b", sae=TopKConfig(d_sae=64, k=8)))
    claim = DifferenceClaim(name="c", setting="here", a="a", b="b", factors=("kind",))
    means = {(arm, source): 0.4 for arm in ("a", "b") for source in ("target", "gaussian")} | {("a", "target"): 0.7}
    (found,) = Hand(means).judge(survey((claim,), arms))
    assert found.state == "supported" and not found.alone
    assert "the architectures differ as a whole" in words(found) and "due to" not in words(found)


def test_half_the_steps_must_give_the_same_verdict() -> None:
    means = FLAT | {("k2", "target"): 0.7}
    changed = {("k2", "target", population, True): 0.4 for population in ("alive", "all")}
    found = judged(Hand(means, changed=changed))
    assert found.state == "no verdict" and "half the steps give another verdict" in words(found)


def test_a_peak_is_where_every_other_arm_is_lower_beyond_controls() -> None:
    claim = PeakClaim(name="peak", setting="here", arms=("k2", "k4", "k8"), field="k", factors=("k",))
    high = FLAT | {("k4", "target"): 0.6}
    found = judged(Hand(high), claim)
    assert found.state == "supported" and found.at == 4.0
    assert {(e.a, e.b) for e in found.elements} == {(("k4",), "k2"), (("k4",), "k8")}
    assert judged(Hand(high | {("k8", "target"): 0.6}), claim).state == "not supported"
    aside = judged(Hand(high, effective_rank=8.5), claim)
    assert aside.state == "no verdict" and "no arm lies above" in words(aside), "a rise is no peak"
    assert aside.raw_state == "no verdict" and not aside.elements
    one_side = claim.model_copy(update={"arms": ("k4", "k8"), "name": "near"})
    assert judged(Hand(high, effective_rank=5.7), one_side).state == "no verdict", "all of them are near"
    assert judged(Hand(high | {("k4", "gaussian"): 0.6}), claim).state == "not supported", "and so is the control's"


def test_a_peak_takes_arms_that_match_and_others_on_both_sides() -> None:
    claim = PeakClaim(name="peak", setting="here", arms=("a", "b"), field="k", factors=("k",), within=1.5)
    values = {"a": 2.0, "b": 6.0, "c": 8.0}
    assert near_and_far(claim, values, 5.0) == (["b"], ["a", "c"]) and no_peak(claim, values, 5.0) == ""
    assert no_peak(claim, values, 50.0) == "no arm has a k within a factor of 1.5 of the effective rank 50"
    assert no_peak(claim, values, 7.0) == "no arm lies above the effective rank 7 and off it"
    assert no_peak(claim, values, 1.5) == "no arm lies below the effective rank 1.5 and off it"


def test_the_weighed_mean_of_several_arms_is_the_mean_of_their_numbers() -> None:
    hand = Hand(FLAT | {("k2", "target"): 0.7, ("k4", "target"): 0.5})
    peak = PeakClaim(name="peak", setting="here", arms=("k2", "k4", "k8"), field="k", factors=("k",))
    arms = judged(hand, peak).elements[0].weighed.arms
    both = Weighed(arms, {"k2": 0.5, "k4": 0.5, "k8": -1.0}).on("target")
    assert both is not None and both.value == pytest.approx((0.7 + 0.5) / 2 - 0.4)


def test_facts_and_measurements_carry_everything_that_decided() -> None:
    claim = K2_OVER_K8.model_copy(update={"family": "one"})
    found = judged(Hand(FLAT | {("k2", "target"): 0.7}), claim)
    facts, made = claim_facts(found), {m.key: m for m in claim_measurements(found)}
    assert facts["state"] == "supported" and facts["alone"]
    excess = made["claim.excess[a=k2,b=k8,claim=c,control=gaussian]"]
    assert excess.value == pytest.approx(0.3) and excess.n == 5 and excess.null == "gaussian"
    assert excess.interval is not None and str(round(excess.interval.low or 0, 4)) in facts["words"]
    assert made["claim.difference[a=k2,b=k8,claim=c]"].value == pytest.approx(0.3)
    assert made["claim.p_holm[claim=c]"].value == found.p_holm


def test_declarations_that_cannot_be_decided_are_refused() -> None:
    wrong = {
        "there is no setting there": {"setting": "there"},
        "setting here has no arm k9": {"a": "k9"},
        "its arms differ in k; they must differ in what it declares and in nothing else: d_sae": {
            "factors": ("d_sae",)
        },
    }
    for text, change in wrong.items():
        with pytest.raises(ValueError, match=text):
            survey((K2_OVER_K8.model_copy(update=change),))
    with pytest.raises(ValueError, match="two claims are called c"):
        survey((K2_OVER_K8, K2_OVER_K8))


def test_differing_counts_what_two_architectures_share_and_not_what_sets_a_requested_l0() -> None:
    topk = SurveyArm(name="a", sae=TopKConfig(d_sae=64, k=4), l0=8)
    assert differing(topk, SurveyArm(name="b", sae=JumpReluConfig(d_sae=64), l0=8)) == {"kind"}
    assert differing(topk, SurveyArm(name="b", sae=JumpReluConfig(d_sae=32), l0=8)) == {"kind", "d_sae"}
    revived = SurveyArm(name="a", sae=TopKConfig(d_sae=64, k=4, aux_k=16), l0=8)
    for pair in ((revived, SurveyArm(name="b", sae=JumpReluConfig(d_sae=64), l0=8)), (topk, revived)):
        assert "aux_k" in differing(*pair), "who revives dead latents differs in more than its kind"
    assert differing(topk, SurveyArm(name="b", sae=TopKConfig(d_sae=64, k=9), l0=8)) == set()
    assert differing(topk, SurveyArm(name="b", sae=TopKConfig(d_sae=64, k=9), l0=6)) == {"l0"}
    levels = [
        SurveyArm(name="a", sae=HierarchicalTopKConfig(d_sae=64, k=16, levels=of), l0=16) for of in ((1, 2), (8,))
    ]
    assert differing(*levels) == {"levels"}, "only what sets the L0 follows from it"
    both = AlignedConfig(d_sae=64, k=4), AlignmentConfig()
    assert differing(SurveyArm(name="a", sae=both[0], coupling=both[1]), SurveyArm(name="b", sae=topk.sae)) == {
        "kind", "coupling",
    }  # fmt: skip
    plain, coupled = (SurveyArm(name="a", sae=topk.sae, coupling=c) for c in (None, JointConfig()))
    assert differing(plain, coupled) == {"coupling"}


@settings(deadline=None, max_examples=25)
@given(st.floats(0.0, 0.9), st.floats(0.0, 0.9), st.integers(0, 5))
def test_a_claim_and_its_reverse_are_never_both_supported(one: float, other: float, seed: int) -> None:
    hand = Hand(FLAT | {("k2", "target"): one, ("k2", "gaussian"): other}, seed=seed)
    back = DifferenceClaim(name="d", setting="here", a="k8", b="k2", factors=("k",))
    states = [j.state for j in hand.judge(survey((K2_OVER_K8, back)))]
    assert states.count("supported") <= 1
    assert topk_arms((2,))[0].sae.k == 2


def test_that_one_of_many_other_arms_is_low_by_chance_decides_against_no_peak() -> None:
    """One difference below the margin at 95 % alone: seven were looked at, so it must be so at their level."""
    ks = (1, 2, 4, 16, 32, 48, 64)
    claim = PeakClaim(name="peak", setting="here", arms=tuple(f"k{k}" for k in (*ks, 8)), field="k", factors=("k",))
    arms = topk_arms((*ks, 8))
    means = {(arm.name, source): 0.4 for arm in arms for source in ("target", "gaussian")} | {("k8", "target"): 0.7}
    declared = survey((claim,), arms)

    def judge(k2: float) -> tuple[str, Element]:
        hand = Hand(means | {("k2", "target"): k2}, spread=0.02, effective_rank=8.0)
        (found,) = hand.judge(declared)
        return found.state, next(e for e in found.elements if e.b == "k2")

    said, element = judge(0.4)
    D = element.calls["gaussian"][1]
    assert said == "supported" and D.se is not None
    ts = [float(stats.t.isf(0.025 / n, 4)) for n in (1, 7)]
    below = [0.4 + D.value - 0.05 + factor * D.se for factor in (sum(ts) / 2, ts[1] + 0.1)]
    assert judge(below[0])[0] == "undecided", "at 95 % by itself it is below the margin, as one of seven it is not"
    assert judge(below[1])[0] == "not supported"


def test_what_is_undecided_of_explained_variance_says_how_many_seeds_would_settle_it() -> None:
    claim = K2_OVER_K8.model_copy(update={"quality": "not lower"})
    found = judged(Hand(FLAT | {("k2", "target"): 0.7}, evs={"k2": 0.8898}), claim)
    assert found.beyond_state == "supported" and found.state == "undecided"
    needed = claim_facts(found)["explained_variance_would_settle"]
    assert (
        needed["n"] > 5 and needed["value"] == pytest.approx(-0.0102) and f"{needed['n']} seeds would" in words(found)
    )
    settled = judged(Hand(FLAT | {("k2", "target"): 0.7}), claim)
    assert settled.state == "supported" and claim_facts(settled)["explained_variance_would_settle"] is None


HOLDS = "for these rows, over these initialisations and batch orders"


def test_a_decided_claim_says_what_it_holds_for() -> None:
    assert words(judged(Hand(FLAT | {("k2", "target"): 0.7}))).endswith(HOLDS)
    assert words(judged(Hand(FLAT))).endswith(HOLDS)
    open_ = Hand(FLAT | {("k2", "target"): 0.47}, spread=0.02)
    assert "for these rows" not in words(judged(open_)), "nothing was decided"


def test_a_peak_is_denied_by_one_difference_that_may_be_read_and_by_no_other() -> None:
    """k2 and k8 around a peak at k4: an arm that has not converged can neither support nor deny."""
    claim = PeakClaim(name="peak", setting="here", arms=("k2", "k4", "k8"), field="k", factors=("k",))
    rises = FLAT | {("k2", "target"): 0.7}
    denied = judged(Hand(rises, early=("k8",)), claim)
    assert denied.state == "not supported" and denied.raw_state == "not supported"
    assert "k4 not more stable than k2" in words(denied) and "without k8, of which nothing may be read" in words(denied)
    assert [e["says"]["gaussian"] for e in claim_facts(denied)["elements"]] == ["not beyond", "no verdict"]
    for early in ("k2", "k4"):
        found = judged(Hand(rises | {("k8", "target"): 0.2}, early=(early,)), claim)
        assert found.state == "no verdict", f"{early} would have denied it"
    high = FLAT | {("k4", "target"): 0.7}
    assert judged(Hand(high), claim).state == "supported"
    assert judged(Hand(high, early=("k8",)), claim).state == "no verdict", "all of them have to be beyond"
