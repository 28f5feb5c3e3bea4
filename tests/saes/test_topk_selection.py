"""The k largest of a row: against a sort, with ties to the lowest index, whatever stands beside the row."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from husai.saes.config import TopKConfig
from husai.saes.parameters import initial
from husai.saes.registry import architecture
from husai.saes.select import largest


def by_sorting(row: np.ndarray, k: int) -> list[int]:
    """Independent: sort by value descending, then by index ascending."""
    return sorted(sorted(range(len(row)), key=lambda i: (-row[i], i))[:k])


@settings(max_examples=200, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(2, 12)), elements=st.sampled_from([0, 1, 2, -1, 0.5])),
    st.data(),
)
def test_equals_a_stable_sort_also_with_ties(values: np.ndarray, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, values.shape[1]))
    found = largest(torch.from_numpy(values), k)
    assert found.tolist() == [by_sorting(row, k) for row in values]


def test_a_row_is_chosen_alike_alone_and_in_company() -> None:
    values = torch.randn(64, 33, generator=torch.Generator().manual_seed(0))
    together = largest(values, 5)
    assert torch.equal(together, torch.cat([largest(values[i : i + 1], 5) for i in range(64)]))


def test_not_a_number_is_never_chosen_while_numbers_are_left() -> None:
    values = torch.tensor([[1.0, float("nan"), 3.0, 2.0]])
    assert largest(values, 2).tolist() == [[2, 3]]


def test_codes_hold_k_latents_and_decode_as_the_dense_code_does() -> None:
    config = TopKConfig(d_sae=40, k=6)
    generator = torch.Generator().manual_seed(1)
    p, x = initial(12, 40, True, generator), torch.randn(30, 12, generator=generator)
    codes = architecture(config).encode(config, p, x)
    dense = codes.dense()
    pre = (x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]
    expected = torch.zeros_like(pre)
    values, indices = pre.clamp(min=0).topk(6, dim=-1)
    expected.scatter_(1, indices, values)
    assert torch.allclose(dense, expected, atol=1e-6)
    assert ((dense != 0).sum(1) <= 6).all()
    assert torch.equal(codes.fired(), (dense != 0).any(0))
