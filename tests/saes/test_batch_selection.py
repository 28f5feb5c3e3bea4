"""Selection in a batch: exactly B k values, ties to the lowest place; the threshold as a mean written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from husai.saes.batch_select import follow_, keep_in_batch
from husai.saes.codes import DenseCodes
from husai.saes.config import BatchTopKConfig, MatryoshkaConfig
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture

CONFIG = BatchTopKConfig(d_sae=20, k=3)


def rows(n: int = 30, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))


def begin(config: BatchTopKConfig = CONFIG) -> Parameters:
    return architecture(config).init(config, 8, torch.Generator().manual_seed(0), None)


@settings(max_examples=200, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(2, 9)), elements=st.sampled_from([0, 1, 2, 0.5])),
    st.data(),
)
def test_equals_a_stable_sort_of_the_whole_batch(values: np.ndarray, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, values.shape[1]))
    flat = values.reshape(-1)
    kept = sorted(range(flat.size), key=lambda i: (-flat[i], i))[: k * len(values)]
    expected = np.zeros_like(flat)
    expected[kept] = flat[kept]
    found = keep_in_batch(torch.from_numpy(values), k).values_BF
    assert np.array_equal(found.numpy().reshape(-1), expected)
    assert int((found > 0).sum()) == min(k * len(values), int((values > 0).sum()))


def test_rows_share_what_there_is() -> None:
    """One loud row takes from the others; with k per row it could not."""
    values = torch.rand(10, 20, generator=torch.Generator().manual_seed(2)) + 0.1
    values[4] += 10
    counts = (keep_in_batch(values, 3).values_BF > 0).sum(1)
    assert counts.sum() == 30 and counts[4] == 20 and counts.max() > counts.min()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(3))
    assert torch.equal(keep_in_batch(values[order], 3).values_BF, keep_in_batch(values, 3).values_BF[order])


@pytest.mark.parametrize("momentum", [0.0, 0.75, 0.9])
def test_the_threshold_is_a_plain_mean_first_and_an_exponential_one_later(momentum: float) -> None:
    config = BatchTopKConfig(d_sae=20, k=3, threshold_momentum=momentum)
    p, smallest = {n: t.double() for n, t in begin(config).items()}, []
    expected = 0.0
    generator = torch.Generator().manual_seed(5)
    plain = round(1 / (1 - momentum))
    for step in range(1, 26):
        values = torch.rand(6, 20, generator=generator, dtype=torch.float64).add(0.5) * (torch.arange(20) % 3 == 0)
        smallest.append(float(values[values > 0].min()))
        follow_(config, p, DenseCodes(values))
        later = momentum * expected + (1 - momentum) * smallest[-1]
        expected = float(np.mean(smallest)) if step <= plain else later
        assert float(p["threshold"]) == pytest.approx(expected, rel=1e-12)
        assert float(p["threshold_batches"]) == step


def test_a_batch_without_a_positive_value_does_not_count() -> None:
    p = begin()
    follow_(CONFIG, p, DenseCodes(torch.full((2, 20), 3.0)))
    follow_(CONFIG, p, DenseCodes(torch.zeros(2, 20)))
    assert (float(p["threshold"]), float(p["threshold_batches"])) == (3.0, 1.0)


def test_the_threshold_alone_decides_after_training() -> None:
    p = begin() | {"threshold": torch.tensor(0.7), "threshold_batches": torch.tensor(1.0)}
    arch, x = architecture(CONFIG), rows()
    z = (x @ p["W_enc"].T).clamp(min=0)
    found = arch.encode(CONFIG, p, x).dense()
    assert torch.allclose(found, z * (z > 0.7), atol=1e-6)
    exact = p | {"threshold": found[found > 0].min()}
    assert (arch.encode(CONFIG, exact, x).dense() > 0).sum() == (found > 0).sum() - 1, (
        "at the threshold is not above it"
    )


@pytest.mark.parametrize("config", [CONFIG, MatryoshkaConfig(d_sae=20, k=3)])
def test_an_untrained_one_uses_the_k_largest_of_each_row(config: BatchTopKConfig) -> None:
    p, x = begin(config), rows()
    z = (x @ p["W_enc"].T).clamp(min=0)
    expected = z * (z >= z.sort(1).values[:, -3, None])
    assert torch.allclose(architecture(config).encode(config, p, x).dense(), expected, atol=1e-6)
