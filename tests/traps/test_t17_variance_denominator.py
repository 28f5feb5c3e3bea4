"""T17. Element-mean MSE over a summed variance turned an explained variance of .71 into .9994.

husai has one definition; rows that another denominator would flatter are reported as they are.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from husai.evals.fidelity import explained_variance


def test_the_flattering_quotient_is_not_what_is_reported() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(4000, 512)) * 2 + 5).float()
    noise = torch.from_numpy(rng.normal(size=x.shape)).float() * float(np.sqrt(0.29)) * 2
    lookup = dict(zip(x.sum(1).tolist(), x + noise, strict=True))
    found = explained_variance(x, lambda block: torch.stack([lookup[v] for v in block.sum(1).tolist()]))
    flattering = 1 - float(noise.square().mean() / (x - x.mean(0)).square().sum(1).mean())
    assert flattering > 0.999
    assert found == pytest.approx(0.71, abs=0.01)
