"""T46. "Mean pooling is better for SAE features": four things had changed at once.

A claim declares what differs between its arms; anything else that differs is refused, and only a factor that varied
alone, steps of training included, is said to be the cause.
"""

from __future__ import annotations

import re

import pytest

from claims_by_hand import Hand, survey
from husai.saes.config import TopKConfig
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.claims.words import words
from husai.studies.surveys.survey import SurveyArm

CREDIT = re.compile(r"\b(because|due to|causes?d?)\b")
MEANS = {(arm, source): 0.4 for arm in ("a", "b") for source in ("target", "gaussian")} | {("a", "target"): 0.7}


def arms(**changed: object) -> tuple[SurveyArm, ...]:
    sae = TopKConfig(d_sae=64, k=8)
    return SurveyArm(name="a", sae=sae.model_copy(update=changed)), SurveyArm(name="b", sae=sae)


def claim(*factors: str) -> DifferenceClaim:
    return DifferenceClaim(name="c", setting="here", a="a", b="b", factors=factors)


def test_what_else_changed_is_refused_by_name() -> None:
    four = {"k": 4, "d_sae": 32, "decoder_norm": "free", "aux_k": 8}
    with pytest.raises(ValueError, match="its arms differ in aux_k, d_sae, decoder_norm, k; they must"):
        survey((claim("k"),), arms(**four))
    survey((claim(*four),), arms(**four))


def test_only_a_factor_that_varied_alone_is_credited() -> None:
    (one,) = Hand(MEANS).judge(survey((claim("k"),), arms(k=4)))
    assert one.state == "supported" and "due to k, which alone differed" in words(one)
    (two,) = Hand(MEANS).judge(survey((claim("k", "d_sae"),), arms(k=4, d_sae=32)))
    assert two.state == "supported" and not CREDIT.search(words(two))
    assert "k and d_sae differed together, so none of them is singled out" in words(two)


def test_arms_that_were_trained_for_other_numbers_of_steps_differ_in_these_too() -> None:
    (found,) = Hand(MEANS, budgets={"a": 400}).judge(survey((claim("k"),), arms(k=4)))
    assert found.state == "supported" and not CREDIT.search(words(found))
    assert "k and the number of steps differed together" in words(found)


def test_nothing_is_credited_where_nothing_is_supported() -> None:
    for mean in (0.4, 0.45, 0.3):
        (found,) = Hand(MEANS | {("a", "target"): mean}).judge(survey((claim("k"),), arms(k=4)))
        assert found.state != "supported" and not CREDIT.search(words(found))
