"""T20. A gate was "passed" by the best of 16 configurations, after the default had failed.

Claims that are open together are corrected together; and what a search selects is confirmed on seeds that it never saw.
"""

from __future__ import annotations

from claims_by_hand import Hand, passes_alone_only, survey, topk_arms
from husai.activations.source import PlantedSource
from husai.recipes import made
from husai.saes.config import TopKConfig
from husai.studies.calibrations.calibration import Calibration
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.study import Controls
from husai.studies.surveys.plan import first_budgets, seeds_of, sources_of, survey_plan
from husai.tasks.planted import PlantedConfig

KS = tuple(range(1, 17))
SPREAD = 0.03


def claims(family: str) -> list[DifferenceClaim]:
    return [
        DifferenceClaim(name=f"k{k}", setting="here", a=f"k{k}", b="k17", factors=("k",), family=family) for k in KS
    ]


def null() -> Hand:
    """Sixteen arms that differ from the default by noise alone, drawn so that the luckiest one looks like an effect."""
    means = {(f"k{k}", source): 0.5 for k in (*KS, 17) for source in ("target", "gaussian")}
    declared = survey([claims("")[6]], topk_arms((*KS, 17)))
    return passes_alone_only(Hand(means, spread=SPREAD), declared, "k7", len(KS))


def test_the_luckiest_of_sixteen_passes_alone_and_not_among_sixteen() -> None:
    arms = topk_arms((*KS, 17))
    (alone,) = null().judge(survey([claims("")[6]], arms))
    assert alone.state == "supported", "the bait"
    for family in ("search", ""):  # who names no family has one all the same
        together = {j.claim.name: j for j in null().judge(survey(claims(family), arms))}
        assert {j.state for j in together.values()} & {"supported"} == set()
        assert together["k7"].family == 16
        assert (together["k7"].p_holm or 0) > 0.05


def test_what_a_search_selects_is_confirmed_on_fresh_seeds() -> None:
    source = PlantedSource(planted=PlantedConfig(d_in=32, n_features=64, n_active=4, n_rows=500))
    declared = Calibration(source=source, sae=TopKConfig(d_sae=64), controls=Controls(random_models=0))
    search, confirmed = declared.search(), declared.confirmation(4, 200)
    for name in sources_of(search):
        assert not set(seeds_of(search, name)) & set(seeds_of(confirmed, name))
    grokked = made("calibrate")
    assert isinstance(grokked, Calibration)
    plans = [grokked.survey((one,)) for one in (grokked.search(), grokked.confirmation(4, 1250))]
    ids = [{node.id for node in survey_plan(one, first_budgets(one)).stacks.values()} for one in plans]
    assert len(ids[0]) > len(ids[1]) > 0 and not ids[0] & ids[1], "neither SAEs nor controls are used twice"
    assert {arm.sae.k for arm in confirmed.arms if isinstance(arm.sae, TopKConfig)} == {4, 32}
    assert confirmed.same_steps, "winner and reference are trained alike"
