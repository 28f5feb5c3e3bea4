"""T18. Reports carried 95 % intervals and p = .0086 from a bootstrap and a Mann-Whitney test over pairs of seeds, which
share seeds: the intervals cover 47-55 %. husai's interval has the seed as its unit; the bootstrap is a replay that no
verdict accepts; tests take units, not pairs, and six of them at least.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.errors import UserError
from husai.seeds import Role
from husai.statistics.decision import Contrast, Evidence, decide
from husai.statistics.estimate import Estimate
from husai.statistics.intervals import pair_mean
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.statistics.tests import sign_flip, wilcoxon


def seed_dominated(rng: np.random.Generator) -> np.ndarray:
    """Similarities of five seeds, true mean 0, all variation between seeds."""
    effect = rng.standard_normal(5)
    return effect[:, None] + effect[None, :]


def covers(interval: Estimate) -> bool:
    assert interval.low is not None and interval.high is not None
    return interval.low <= 0 <= interval.high


def test_the_jackknife_covers_and_the_bootstrap_does_not() -> None:
    rng = np.random.default_rng(0)
    matrices = [seed_dominated(rng) for _ in range(1200)]
    assert np.mean([covers(pair_mean(m)) for m in matrices]) >= 0.93
    assert np.mean([covers(legacy_pair_bootstrap(m, draws=300)) for m in matrices]) <= 0.60


def test_the_bootstrap_says_that_it_is_a_replay_and_takes_part_in_no_verdict() -> None:
    replay = legacy_pair_bootstrap(seed_dominated(np.random.default_rng(1)) + 9, draws=100)
    assert "replay only" in replay.note and replay.n_unit == "pairs"
    D = Contrast("gaussian", replay, replay)
    with pytest.raises(UserError, match="takes part in no verdict"):
        decide(Evidence("a", "b", D, (D,), replay, replay, {"a": True}, "sane", (Role.SAE_INIT,)))


def test_no_test_on_five_seeds() -> None:
    for test in (sign_flip, wilcoxon):
        with pytest.raises(UserError, match="below 6"):
            test([0.3, 0.2, 0.4, 0.1, 0.2])
        with pytest.raises(UserError, match="one finite difference per unit"):
            test(seed_dominated(np.random.default_rng(2)))  # a matrix of pairs
