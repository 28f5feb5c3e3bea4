"""T34. A loss of 1.34 on unit-variance noise was called "a challenging domain": it is worse than predicting the mean.

husai's explained variance is 0 for the mean predictor and negative for anything worse.
"""

from __future__ import annotations

import pytest
import torch

from husai.evals.fidelity import explained_variance


def test_the_mean_predictor_scores_zero_and_worse_is_negative() -> None:
    x = torch.randn(3000, 40, generator=torch.Generator().manual_seed(0)) + 7
    mean = x.double().mean(0)
    assert explained_variance(x, lambda b: mean.expand(b.shape).float()) == pytest.approx(0, abs=1e-6)
    error = torch.randn(40, generator=torch.Generator().manual_seed(1))
    error *= (1.34 * 40) ** 0.5 / error.norm()
    worse = explained_variance(x, lambda b: b + error)  # a loss of 1.34 per dimension where the variance is 1
    assert worse == pytest.approx(1 - 1.34, abs=0.05)
    assert worse < 0
