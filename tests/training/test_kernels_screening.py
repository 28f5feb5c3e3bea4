"""The k largest of a row by the kernels of the engine `cuda`: ties, NaN, closed latents, more candidates than room."""

from __future__ import annotations

import pytest
import torch

from husai.saes.select import largest

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TYPES = (torch.bfloat16, torch.float32, torch.float64)


def codes(
    z_BF: torch.Tensor, k: int, open_F: torch.Tensor | None = None
) -> tuple[list[list[int]], torch.Tensor, list[int]]:
    """Latents of each row, values [B, k], and how many candidates each row had."""
    from husai.training.engines.triton_kernels.screening import Candidates, choose, screen

    z, (batch, d_sae) = z_BF.to(DEVICE), z_BF.shape
    found = Candidates(batch, k, z.dtype, z.device)
    screen(z[:2], None if open_F is None else open_F.to(DEVICE), k, 0, found)  # in two tiles
    screen(z[2:], None if open_F is None else open_F.to(DEVICE), k, 2, found)
    sums = torch.float64 if z.dtype == torch.float64 else torch.float32
    index, value = torch.full((batch, k), -7, dtype=torch.int32), torch.full((batch, k), 9.0, dtype=sums)
    index, value = index.to(DEVICE), value.to(DEVICE)
    choose(found, z.dtype, d_sae, index, value)
    return [[f for f in row if f < d_sae] for row in index.tolist()], value.cpu(), found.count_B.tolist()


def wanted(z_BF: torch.Tensor, k: int) -> list[list[int]]:
    """By NumPy's partition, ties to the lowest number, positive ones only."""
    positive = z_BF.double().relu()
    return [[f for f in row if positive[b, f] > 0] for b, row in enumerate(largest(positive, k).tolist())]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("d_sae", "k"), [(40, 3), (1100, 9), (6, 5)])
def test_codes_are_the_k_largest_positive_numbers(dtype: torch.dtype, d_sae: int, k: int) -> None:
    z = torch.randn(4, d_sae, generator=torch.Generator().manual_seed(d_sae), dtype=torch.float64).to(dtype)
    found, value, count = codes(z, k)
    assert found == wanted(z, k)
    for b, latents in enumerate(found):
        assert torch.equal(value[b, : len(latents)], z[b, latents].to(value.dtype))
        assert not value[b, len(latents) :].any()
    assert max(count) <= k + 32 and (d_sae == 6 or min(count) >= k)


def test_only_open_latents_are_chosen() -> None:
    z = torch.randn(4, 90, generator=torch.Generator().manual_seed(0))
    open_F = (torch.arange(90) % 3 == 1).to(torch.int8)
    assert codes(z, 5, open_F)[0] == wanted(torch.where(open_F > 0, z, -1.0), 5)


@pytest.mark.parametrize("dtype", TYPES)
def test_ties_go_to_the_lowest_number_even_where_there_is_no_room_for_all(dtype: torch.dtype) -> None:
    z = torch.full((4, 300), 2.0, dtype=dtype)
    z[1] = -1
    z[2, 200:250:2] = 3
    z[3, ::7] = 5
    found, _, count = codes(z, 30)
    assert found == wanted(z, 30) and count == [30, 0, 30, 43]  # there is room for 64
    assert found[0] == list(range(30)) and found[1] == [] and found[2][:6] == [0, 1, 2, 3, 4, 200]


@pytest.mark.parametrize("dtype", TYPES)
def test_nan_of_either_sign_is_chosen_and_infinity_too(dtype: torch.dtype) -> None:
    z = torch.randn(4, 50, generator=torch.Generator().manual_seed(1)).to(dtype)
    nan = torch.tensor(float("nan"), dtype=dtype)
    z[0, 30], z[1, 31], z[2, 32], z[3, 33] = nan, -nan, float("inf"), float("-inf")
    found, value, _ = codes(z, 3)
    assert 30 in found[0] and 31 in found[1] and 32 in found[2] and 33 not in found[3]
    assert value[:2].isnan().any(1).all() and value[2].isinf().any() and value[3].isfinite().all()
