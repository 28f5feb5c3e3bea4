"""The k largest positive numbers of each row without sorting: a threshold from group maxima, then candidates.

A group is a column when the row is laid out in lines of `LANES` numbers. The k-th largest of the groups' maxima is
reached by at least k numbers and by few more, so two passes over the row leave about k candidates; the next lines are
on their way meanwhile (`num_stages`). Positive floats are ordered as their bits are, so all of it is done on integers.
Ties go to the lowest number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from husai.training.engines.triton_kernels.compiled import kernel

GROUPS_PER_CHOSEN, FEWEST_GROUPS, MOST_GROUPS = 8, 2048, 8192
SPARE_PER_CHOSEN, LEAST_SPARE = 4, 32  # room for a quarter more candidates than are chosen, but for 32 at least
REGISTERS = 128  # of a thread: four rows of 4 warps are then at work on a multiprocessor at a time
PER_WARP, MOST_WARPS = 512, 16  # numbers of a row that a warp holds at a time; more would not fit its registers


class Bits(NamedTuple):
    """A float type seen as an integer: its view, what that is widened to, the bits of -infinity, all but the sign."""

    view: torch.dtype
    key: torch.dtype
    lowest: int
    mask: int
    shift: int


BITS = {
    torch.bfloat16: Bits(torch.int16, torch.int32, -(2**7), 2**15 - 1, 16),
    torch.float32: Bits(torch.int32, torch.int32, -(2**23), 2**31 - 1, 0),
    torch.float64: Bits(torch.int64, torch.int64, -(2**52), 2**63 - 1, 0),
}
TL: dict[torch.dtype, Any] = {
    torch.int32: tl.int32,
    torch.int64: tl.int64,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


def power_of_two(n: int) -> int:
    """The least power of two that is not below n."""
    return 1 << max(0, n - 1).bit_length()


def candidate_room(k: int) -> int:
    """Candidates that are kept of a row."""
    return power_of_two(k + max(k // SPARE_PER_CHOSEN, LEAST_SPARE))


@kernel
def kth_key(keys, K: tl.constexpr):
    """A number from 1 on that exactly K of the keys reach, or the K-th largest where ties forbid that; else 1."""
    high = tl.max(keys, 0)
    low = high * 0 + 1
    while low < high:
        middle = high - ((high - low) >> 1)
        count = tl.sum((keys >= middle).to(tl.int32), 0)
        if count >= K:
            low = middle
        if count == K:
            high = middle
        if count < K:
            high = middle - 1
    return low


@kernel
def load_keys(
    bits_ptr, open_ptr, at, F: tl.constexpr, KEY: tl.constexpr, LOWEST: tl.constexpr, MASK: tl.constexpr,
    SOME: tl.constexpr,
):  # fmt: skip
    """Numbers as integers of the same order where they are positive; NaN of either sign is above them all."""
    bits = tl.load(bits_ptr + at, mask=at < F, other=0).to(KEY)
    keys = tl.where(bits > LOWEST, bits & MASK, bits)
    if SOME:
        keys = tl.where(tl.load(open_ptr + at, mask=at < F, other=0) != 0, keys, keys * 0)
    return keys


@kernel
def above_in_row(
    bits_ptr, open_ptr, threshold, F: tl.constexpr, LANES: tl.constexpr, KEY: tl.constexpr, LOWEST: tl.constexpr,
    MASK: tl.constexpr, SOME: tl.constexpr,
):  # fmt: skip
    """How many numbers of a row are above the threshold."""
    lanes = tl.arange(0, LANES)
    count = tl.zeros([LANES], tl.int32)
    for first in range(0, F, LANES):
        keys = load_keys(bits_ptr, open_ptr, first + lanes, F, KEY, LOWEST, MASK, SOME)
        count += (keys > threshold).to(tl.int32)
    return tl.sum(count, 0)


@kernel
def kth_key_of_row(
    bits_ptr, open_ptr, low, high, K: tl.constexpr, F: tl.constexpr, LANES: tl.constexpr, KEY: tl.constexpr,
    LOWEST: tl.constexpr, MASK: tl.constexpr, SOME: tl.constexpr,
):  # fmt: skip
    """`kth_key` over a whole row, between a number that at least K reach and the largest: slow, and rarely needed."""
    while low < high:
        middle = high - ((high - low) >> 1)
        count = above_in_row(bits_ptr, open_ptr, middle - 1, F, LANES, KEY, LOWEST, MASK, SOME)
        if count >= K:
            low = middle
        if count == K:
            high = middle
        if count < K:
            high = middle - 1
    return low


@kernel
def collect(
    bits_ptr, open_ptr, number_ptr, key_ptr, threshold, ties, F: tl.constexpr, LANES: tl.constexpr,
    ROOM: tl.constexpr, KEY: tl.constexpr, LOWEST: tl.constexpr, MASK: tl.constexpr, SOME: tl.constexpr,
):  # fmt: skip
    """Write numbers above the threshold, and the first `ties` of those at it, ascending; returns how many there are."""
    lanes = tl.arange(0, LANES)
    count = 0
    tied = 0
    for first in range(0, F, LANES):
        keys = load_keys(bits_ptr, open_ptr, first + lanes, F, KEY, LOWEST, MASK, SOME)
        equal = (keys == threshold).to(tl.int32)
        rank = tied + tl.cumsum(equal, 0)
        taken = ((keys > threshold) | ((equal > 0) & (rank <= ties))).to(tl.int32)
        place = count + tl.cumsum(taken, 0) - 1
        kept = (taken > 0) & (place < ROOM)
        tl.store(number_ptr + place, first + lanes, mask=kept)
        tl.store(key_ptr + place, keys, mask=kept)
        count += tl.sum(taken, 0)
        tied += tl.sum(equal, 0)
    return count


@kernel
def collect_reaching(
    bits_ptr, open_ptr, number_ptr, key_ptr, threshold, F: tl.constexpr, LANES: tl.constexpr, ROOM: tl.constexpr,
    KEY: tl.constexpr, LOWEST: tl.constexpr, MASK: tl.constexpr, SOME: tl.constexpr,
):  # fmt: skip
    """Write all numbers not below the threshold for which there is room, ascending; returns how many there are."""
    lanes = tl.arange(0, LANES)
    count = 0
    for first in tl.range(0, F, LANES, num_stages=3):  # pyright: ignore[reportGeneralTypeIssues] its own idea of a range
        keys = load_keys(bits_ptr, open_ptr, first + lanes, F, KEY, LOWEST, MASK, SOME)
        taken = (keys >= threshold).to(tl.int32)
        place = count + tl.cumsum(taken, 0) - 1
        kept = (taken > 0) & (place < ROOM)
        tl.store(number_ptr + place, first + lanes, mask=kept)
        tl.store(key_ptr + place, keys, mask=kept)
        count += tl.sum(taken, 0)
    return count


@kernel
def screen_rows(
    bits_ptr, open_ptr, number_ptr, key_ptr, count_ptr, K: tl.constexpr, F: tl.constexpr, LANES: tl.constexpr,
    ROOM: tl.constexpr, KEY: tl.constexpr, LOWEST: tl.constexpr, MASK: tl.constexpr, SOME: tl.constexpr,
):  # fmt: skip
    """One program a row: candidates for its K largest, or exactly these where there is no room for all candidates."""
    row = tl.program_id(0).to(tl.int64)
    bits_row, number_row, key_row = bits_ptr + row * F, number_ptr + row * ROOM, key_ptr + row * ROOM
    lanes = tl.arange(0, LANES)
    maxima = tl.zeros([LANES], KEY)
    for first in tl.range(0, F, LANES, num_stages=3):
        maxima = tl.maximum(maxima, load_keys(bits_row, open_ptr, first + lanes, F, KEY, LOWEST, MASK, SOME))
    low = kth_key(maxima, K)
    count = collect_reaching(
        bits_row, open_ptr, number_row, key_row, low, F, LANES, ROOM, KEY, LOWEST, MASK, SOME
    )  # fmt: skip
    if count > ROOM:
        low = kth_key_of_row(bits_row, open_ptr, low, tl.max(maxima, 0), K, F, LANES, KEY, LOWEST, MASK, SOME)
        ties = K - above_in_row(bits_row, open_ptr, low, F, LANES, KEY, LOWEST, MASK, SOME)
        count = collect(bits_row, open_ptr, number_row, key_row, low, ties, F, LANES, ROOM, KEY, LOWEST, MASK, SOME)
    tl.store(count_ptr + row, count)


@kernel
def choose_candidates(
    number_ptr, key_ptr, count_ptr, index_ptr, value_ptr, K: tl.constexpr, F: tl.constexpr, ROOM: tl.constexpr,
    VALUE: tl.constexpr, SHIFT: tl.constexpr,
):  # fmt: skip
    """One program a row: its K largest candidates in ascending order of latent; F where there are fewer."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, ROOM)
    there = place < tl.load(count_ptr + row)
    keys = tl.load(key_ptr + row * ROOM + place, mask=there, other=0)
    numbers = tl.load(number_ptr + row * ROOM + place, mask=there, other=0)
    threshold = kth_key(keys, K)
    above = (keys > threshold).to(tl.int32)
    equal = ((keys == threshold) & there).to(tl.int32)
    ties = K - tl.sum(above, 0)
    taken = ((above > 0) | ((equal > 0) & (tl.cumsum(equal, 0) <= ties))).to(tl.int32)
    to = row * K + tl.cumsum(taken, 0) - 1
    tl.store(index_ptr + to, numbers, mask=taken > 0)
    tl.store(value_ptr + to, (keys << SHIFT).to(VALUE, bitcast=True), mask=taken > 0)
    empty = (place >= tl.sum(taken, 0)) & (place < K)
    tl.store(index_ptr + row * K + place, tl.full([ROOM], F, tl.int32), mask=empty)
    tl.store(value_ptr + row * K + place, tl.zeros([ROOM], VALUE), mask=empty)


class Candidates:
    """Candidates of each row: numbers and keys [B, C], counts [B]."""

    def __init__(self, batch: int, k: int, product: torch.dtype, device: torch.device) -> None:
        room, key = candidate_room(k), BITS[product].key
        self.number_BC = torch.empty(batch, room, dtype=torch.int32, device=device)
        self.key_BC = torch.empty(batch, room, dtype=key, device=device)
        self.count_B = torch.empty(batch, dtype=torch.int32, device=device)


def screen(product_TF: Tensor, open_F: Tensor | None, k: int, first: int, into: Candidates) -> None:
    """Candidates for the k largest of each row of a tile that begins at row `first`, among latents that are open."""
    T, F = product_TF.shape
    bits, room = BITS[product_TF.dtype], into.number_BC.shape[1]
    lanes = power_of_two(min(max(GROUPS_PER_CHOSEN * k, FEWEST_GROUPS), MOST_GROUPS, F))
    seen = product_TF.view(bits.view)
    screen_rows[(T,)](
        seen, seen if open_F is None else open_F, into.number_BC[first:], into.key_BC[first:], into.count_B[first:],
        K=k, F=F, LANES=lanes, ROOM=room, KEY=TL[bits.key], LOWEST=bits.lowest, MASK=bits.mask,
        SOME=open_F is not None, num_warps=max(1, min(MOST_WARPS, lanes // PER_WARP)), maxnreg=REGISTERS,
    )  # fmt: skip


def choose(from_: Candidates, product: torch.dtype, d_sae: int, index_BK: Tensor, value_BK: Tensor) -> None:
    """The k largest candidates of each row: latents (d_sae for nobody) and their values."""
    (batch, k), room = index_BK.shape, from_.number_BC.shape[1]
    choose_candidates[(batch,)](
        from_.number_BC, from_.key_BC, from_.count_B, index_BK, value_BK, K=k, F=d_sae, ROOM=room,
        VALUE=TL[value_BK.dtype], SHIFT=BITS[product].shift, num_warps=max(1, min(MOST_WARPS, room // PER_WARP)),
    )  # fmt: skip
