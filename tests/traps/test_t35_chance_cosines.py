"""T35. A decoder cosine of .088 between two models was shown as overlap; it is chance for that shape. husai gives the
floor at the sizes compared beside every raw number, and the normalised number is 0.
"""

from __future__ import annotations

import numpy as np
import pytest

from husai.stability.metrics import mean_max_cos
from husai.stability.nulls import floor_mean_max_cos, normalise
from husai.stability.pairwise import pairwise

D, F_A, F_B = 1568, 1024, 1536


def test_two_unrelated_models_are_at_the_floor() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((F_A, D)), rng.standard_normal((F_B, D))
    raw = mean_max_cos(A, B, d_in=D)
    floor = floor_mean_max_cos(D, F_A, F_B)
    assert raw == pytest.approx(0.088, abs=0.003)
    assert abs(normalise(raw, floor.value)) < 0.001
    assert floor.made == "closed form"


def test_the_table_carries_the_floor_beside_the_value() -> None:
    table = pairwise(np.random.default_rng(1).standard_normal((3, 80, 500)))
    for metric in ("mcc_signed", "mcc_abs", "mean_max_cos"):
        raw, floors, normal = table.matrix(metric), table.floors(metric), table.normalised(metric)
        assert floors is not None
        assert 0.05 < raw[0, 1] < 0.2
        assert abs(normal[0, 1]) < 0.02
