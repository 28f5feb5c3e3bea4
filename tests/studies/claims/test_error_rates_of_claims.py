"""How often claims err: simulated surveys of known truth through the real `judge_claims`."""

from __future__ import annotations

from collections import Counter

import pytest

from claims_by_hand import Hand, survey, topk_arms
from husai.studies.claims.claim import DifferenceClaim, PeakClaim

STUDIES = 500
ALLOWED = 0.07
SPREAD = 0.02  # of a seed's effect and of a pair's noise: a pair value has a deviation of .03
SOURCES = ("target", "gaussian")


def states(declared, means: dict[tuple[str, str], float], studies: int = STUDIES) -> Counter[str]:
    """How often each state is said of any of the claims: `supported` counts once for a study."""
    said: Counter[str] = Counter()
    for seed in range(studies):
        found = Hand(means, spread=SPREAD, drawn=True, seed=seed, effective_rank=8.0).judge(declared)
        said.update({judged.state for judged in found})
    return said


@pytest.mark.slow
def test_a_null_is_rarely_supported_alone_or_among_six() -> None:
    """The target's difference is the margin above that of its twin: the largest that is not beyond it."""
    arms = topk_arms((1, 2, 4, 8, 16, 32, 48))
    names = [arm.name for arm in arms]
    claims = [DifferenceClaim(name=a, setting="here", a=a, b="k8", factors=("k",)) for a in names if a != "k8"]
    means = {(name, source): 0.4 for name in names for source in SOURCES}
    means |= {(name, "target"): 0.45 for name in names if name != "k8"}
    for declared in (survey(claims[:1], arms), survey(claims, arms)):
        assert states(declared, means)["supported"] <= ALLOWED * STUDIES


@pytest.mark.slow
def test_a_peak_that_is_one_is_rarely_denied() -> None:
    """Seven other arms, each surely less stable than the peak by .06 where .05 is asked for."""
    ks = (1, 2, 4, 8, 16, 32, 48, 64)
    arms = topk_arms(ks)
    claim = PeakClaim(name="peak", setting="here", arms=tuple(a.name for a in arms), field="k", factors=("k",))
    means = {(arm.name, source): 0.4 for arm in arms for source in SOURCES} | {("k8", "target"): 0.46}
    said = states(survey((claim,), arms), means)
    assert said["not supported"] <= ALLOWED * STUDIES and said.total() == STUDIES
