"""Codes listed by latent, and sums over a latent's entries in batch order by the one program that owns it: no atomics.

A stable sort of the codes' latents gives the lists. A latent that is active in most rows would keep its owner busy when
all others are done, so windows of the list that belong to one latent alone are summed beforehand, each by a program of
its own; the owner adds the entries before its whole windows, those after, and the windows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from husai.training.engines.triton_kernels.compiled import kernel
from husai.training.engines.triton_kernels.screening import TL, power_of_two

LEAST_WINDOW, MOST_WINDOWS = 256, 4096
ENTRIES, COLUMNS = 16, 256  # what a program adds at a time
NARROW = 2**15  # latents shifted by this fit 16 bits, which halves the work of the sort


@kernel
def add_entries(
    sums, begin, end, order_ptr, number_ptr, rows_ptr, column, K: tl.constexpr, D: tl.constexpr, STRIDE: tl.constexpr,
    ENTRIES: tl.constexpr,
):  # fmt: skip
    """Add number * row of some entries to running sums [entries, columns]."""
    for first in range(begin, end, ENTRIES):
        entry = first + tl.arange(0, ENTRIES)
        valid = entry < end
        at = tl.load(order_ptr + entry, mask=valid, other=0).to(tl.int32)
        number = tl.load(number_ptr + at, mask=valid, other=0.0)
        place = (at // K).to(tl.int64)[:, None] * STRIDE + column[None, :]
        row = tl.load(rows_ptr + place, mask=valid[:, None] & (column < D)[None, :], other=0.0)
        sums += number[:, None] * row.to(sums.dtype)
    return sums


@kernel
def sum_windows(
    latent_ptr, order_ptr, number_ptr, rows_ptr, window_ptr, NOBODY: tl.constexpr, K: tl.constexpr, D: tl.constexpr,
    STRIDE: tl.constexpr, WINDOW: tl.constexpr, ENTRIES: tl.constexpr, COLUMNS: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Sums over a window of the list, one program for some of its columns, if one latent has it all."""
    window = tl.program_id(0)
    begin = window * WINDOW
    latent = tl.load(latent_ptr + begin).to(tl.int32)
    last = tl.load(latent_ptr + begin + WINDOW - 1).to(tl.int32)
    if (latent == last) & (latent != NOBODY):
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        sums = tl.zeros([ENTRIES, COLUMNS], SUM)
        sums = add_entries(
            sums, begin, begin + WINDOW, order_ptr, number_ptr, rows_ptr, column, K, D, STRIDE, ENTRIES
        )  # fmt: skip
        tl.store(window_ptr + window.to(tl.int64) * D + column, tl.sum(sums, 0), mask=column < D)


@kernel
def add_listed(
    g, f, start_ptr, order_ptr, number_ptr, rows_ptr, window_ptr, column, K: tl.constexpr, D: tl.constexpr,
    STRIDE: tl.constexpr, WINDOW: tl.constexpr, ENTRIES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Add to g some columns of the sum over latent f's entries, whose whole windows must have been summed."""
    begin = tl.load(start_ptr + f)
    end = tl.load(start_ptr + f + 1)
    first, last = (begin + WINDOW - 1) // WINDOW, end // WINDOW
    head = tl.where(first < last, first * WINDOW, end)
    tail = tl.where(first < last, last * WINDOW, end)
    sums = tl.zeros([ENTRIES, COLUMNS], g.dtype)
    sums = add_entries(sums, begin, head, order_ptr, number_ptr, rows_ptr, column, K, D, STRIDE, ENTRIES)
    sums = add_entries(sums, tail, end, order_ptr, number_ptr, rows_ptr, column, K, D, STRIDE, ENTRIES)
    window_ptr += first.to(tl.int64) * D
    for _ in range(first, last):
        g += tl.load(window_ptr + column, mask=column < D, other=0.0)
        window_ptr += D
    return g + tl.sum(sums, 0)


@kernel
def add_numbers(total, f, start_ptr, order_ptr, number_ptr, ENTRIES: tl.constexpr):
    """Add the numbers of latent f's entries to running sums."""
    end = tl.load(start_ptr + f + 1)
    for first in range(tl.load(start_ptr + f), end, ENTRIES):
        entry = first + tl.arange(0, ENTRIES)
        at = tl.load(order_ptr + entry, mask=entry < end, other=0)
        total += tl.load(number_ptr + at, mask=entry < end, other=0.0)
    return total


class Lists(NamedTuple):
    """Codes [B, K] of a group by latent: `order` are their places in it, `start` where each latent's entries begin.

    `latent` are the sorted latents, less NARROW where they are of 16 bits; nobody's entries come last.
    """

    latent: Tensor
    order: Tensor
    start: Tensor
    nobody: int


class Summed(NamedTuple):
    """A weighted sum of rows for each latent: its lists, the numbers [B, K], the rows, sums over whole windows."""

    lists: Lists
    numbers_BK: Tensor
    rows_BR: Tensor
    windows_ND: Tensor

    @property
    def pointers(self) -> tuple[Tensor, ...]:
        """As the kernels take them."""
        return self.lists.start, self.lists.order, self.numbers_BK, self.rows_BR, self.windows_ND

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Codes of a row, numbers between rows, entries of a window."""
        return self.numbers_BK.shape[1], self.rows_BR.shape[1], window_of(self.numbers_BK.numel())


def window_of(count: int) -> int:
    """Entries of a window when the list has `count`."""
    return power_of_two(max(LEAST_WINDOW, -(-count // MOST_WINDOWS)))


def list_codes(index_BK: Tensor, d_sae: int) -> Lists:
    """The codes of a group by latent, in batch order."""
    shift, dtype = (NARROW, torch.int16) if d_sae < 2 * NARROW - 1 else (0, torch.int32)
    latent, order = torch.sort((index_BK.flatten() - shift).to(dtype), stable=True)
    bounds = (torch.arange(d_sae + 1, dtype=torch.int32, device=index_BK.device) - shift).to(dtype)
    start = torch.searchsorted(latent, bounds, out_int32=True)
    return Lists(latent, order, start, d_sae - shift)


def sum_listed(lists: Lists, numbers_BK: Tensor, rows_BR: Tensor, windows_ND: Tensor) -> Summed:
    """Ready for the latents' owners: the windows that one latent has all for itself are summed."""
    made, d_in = Summed(lists, numbers_BK, rows_BR, windows_ND), windows_ND.shape[1]
    k, stride, window = made.sizes
    columns, whole = min(power_of_two(d_in), COLUMNS), numbers_BK.numel() // window
    if whole:
        sum_windows[(whole, triton.cdiv(d_in, columns))](
            lists.latent, lists.order, numbers_BK, rows_BR, windows_ND, NOBODY=lists.nobody, K=k, D=d_in,
            STRIDE=stride, WINDOW=window, ENTRIES=ENTRIES, COLUMNS=columns, SUM=TL[numbers_BK.dtype], num_warps=4,
        )  # fmt: skip
    return made
