"""What a latent needs: its gradients and its Adam step, by the one program that owns it, in one pass over its weights.

Gradients are weighted sums of rows, from the lists of up to two groups of codes (the active latents; the dead ones of
AuxK), and what dense products gave where these were faster. Encoder and decoder take turns, so that the rows that one
of them gathers stay in the cache; weights and moments, each used once, are marked to leave it first. Every latent is
updated in every step, whether it fired or not, and no gradient of the whole dictionary need exist.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from husai.training.engines.triton_kernels.adam import Moved, adam
from husai.training.engines.triton_kernels.compiled import kernel
from husai.training.engines.triton_kernels.lists import COLUMNS, ENTRIES, Summed, add_listed, add_numbers
from husai.training.engines.triton_kernels.screening import TL, power_of_two

SEEN_ENTRIES = 512


@kernel
def sum_numbers(
    start_ptr, order_ptr, number_ptr, start2_ptr, order2_ptr, number2_ptr, dense_ptr, out_ptr, D: tl.constexpr,
    STRIDE: tl.constexpr, ENTRIES: tl.constexpr, SUM: tl.constexpr, ONE: tl.constexpr, TWO: tl.constexpr,
    DENSE: tl.constexpr,
):  # fmt: skip
    """Gradient of a latent's bias; in a dense matrix it stands in column D, since x has a column of ones there."""
    f = tl.program_id(0).to(tl.int64)
    total = tl.zeros([ENTRIES], SUM)
    if ONE:
        total = add_numbers(total, f, start_ptr, order_ptr, number_ptr, ENTRIES)
    if TWO:
        total = add_numbers(total, f, start2_ptr, order2_ptr, number2_ptr, ENTRIES)
    g = tl.sum(total, 0)
    if DENSE:
        g += tl.load(dense_ptr + f * STRIDE + D)
    tl.store(out_ptr + f, g)


@kernel
def update_biases(
    b_ptr, m_ptr, v_ptr, g_ptr, copy_ptr, adam_ptr, F: tl.constexpr, D: tl.constexpr, STRIDE: tl.constexpr,
    BLOCK: tl.constexpr, COPIES: tl.constexpr,
):  # fmt: skip
    """Adam on the encoder's biases; their copies in three parts, which hold all bits, stand beside those of weights."""
    f = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = f < F
    b = tl.load(b_ptr + f, mask=inside, other=0.0)
    m = tl.load(m_ptr + f, mask=inside, other=0.0)
    v = tl.load(v_ptr + f, mask=inside, other=0.0)
    b, m, v = adam(b, m, v, tl.load(g_ptr + f, mask=inside, other=0.0), adam_ptr)
    tl.store(b_ptr + f, b, mask=inside)
    tl.store(m_ptr + f, m, mask=inside)
    tl.store(v_ptr + f, v, mask=inside)
    if COPIES:
        to = copy_ptr + f.to(tl.int64) * STRIDE + D
        high = b.to(tl.bfloat16)
        rest = b - high.to(b.dtype)
        middle = rest.to(tl.bfloat16)
        tl.store(to, high, mask=inside)
        tl.store(to + 1, middle, mask=inside)
        tl.store(to + 2, (rest - middle.to(b.dtype)).to(tl.bfloat16), mask=inside)


@kernel
def normalise(
    W_ptr, copy_ptr, f, squared, D: tl.constexpr, STRIDE: tl.constexpr, COLUMNS: tl.constexpr, COPIES: tl.constexpr
):
    """Divide a row by its norm; a zero row stays zero."""
    norm = tl.maximum(tl.sqrt(squared), 1e-12)
    for first in range(0, D, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        w = tl.load(W_ptr + f * D + column, mask=column < D, other=0.0) / norm
        tl.store(W_ptr + f * D + column, w, mask=column < D, eviction_policy="evict_first")
        if COPIES:
            tl.store(copy_ptr + f * STRIDE + column, w.to(tl.bfloat16), mask=column < D)


@kernel
def update_rows(
    start_ptr, order_ptr, number_ptr, rows_ptr, window_ptr, start2_ptr, order2_ptr, number2_ptr, rows2_ptr,
    window2_ptr, dense_ptr, W_ptr, m_ptr, v_ptr, copy_ptr, adam_ptr, K: tl.constexpr, K2: tl.constexpr,
    STRIDE: tl.constexpr, STRIDE2: tl.constexpr, WINDOW: tl.constexpr, WINDOW2: tl.constexpr,
    DENSE_STRIDE: tl.constexpr, COPY_STRIDE: tl.constexpr, D: tl.constexpr, ENTRIES: tl.constexpr,
    COLUMNS: tl.constexpr, SUM: tl.constexpr, ONE: tl.constexpr, TWO: tl.constexpr, DENSE: tl.constexpr,
    UNIT: tl.constexpr, COPIES: tl.constexpr,
):  # fmt: skip
    """Gradient and Adam for one latent's row of a matrix, and its rounded copy."""
    f = tl.program_id(0).to(tl.int64)
    squared = tl.zeros([COLUMNS], SUM)
    for first in range(0, D, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        inside, at = column < D, f * D + column
        # What comes from the far memory is asked for first, and arrives while rows are gathered.
        w = tl.load(W_ptr + at, mask=inside, other=0.0, eviction_policy="evict_first")
        m = tl.load(m_ptr + at, mask=inside, other=0.0, eviction_policy="evict_first")
        v = tl.load(v_ptr + at, mask=inside, other=0.0, eviction_policy="evict_first")
        g = tl.zeros([COLUMNS], SUM)
        if DENSE:
            g += tl.load(dense_ptr + f * DENSE_STRIDE + column, mask=inside, other=0.0, eviction_policy="evict_first")
        if ONE:
            g = add_listed(
                g, f, start_ptr, order_ptr, number_ptr, rows_ptr, window_ptr, column, K, D, STRIDE, WINDOW, ENTRIES,
                COLUMNS,
            )  # fmt: skip
        if TWO:
            g = add_listed(
                g, f, start2_ptr, order2_ptr, number2_ptr, rows2_ptr, window2_ptr, column, K2, D, STRIDE2, WINDOW2,
                ENTRIES, COLUMNS,
            )  # fmt: skip
        w, m, v = adam(w, m, v, g, adam_ptr)
        tl.store(m_ptr + at, m, mask=inside, eviction_policy="evict_first")
        tl.store(v_ptr + at, v, mask=inside, eviction_policy="evict_first")
        tl.store(W_ptr + at, w, mask=inside)
        if COPIES and not UNIT:
            tl.store(copy_ptr + f * COPY_STRIDE + column, w.to(tl.bfloat16), mask=inside)
        squared += w * w  # what is outside is 0 and stays so
    if UNIT:
        tl.debug_barrier()  # the row is read again, by other threads perhaps than those that wrote it
        normalise(W_ptr, copy_ptr, f, tl.sum(squared, 0), D, COPY_STRIDE, COLUMNS, COPIES)


class Gradient(NamedTuple):
    """Of a matrix: weighted sums of rows by lists, at most two, and a sum of dense products, where there is one."""

    listed: tuple[Summed, ...]
    dense: Tensor | None


def bias_gradients(of_encoder: Gradient, d_in: int, out_F: Tensor) -> None:
    """Gradients of the encoder's biases from the same lists as the encoder's, in units of the scale."""
    one, two = _slots(of_encoder.listed, out_F)
    dense = out_F if of_encoder.dense is None else of_encoder.dense
    sum_numbers[out_F.shape](
        *one[:3], *two[:3], dense, out_F, D=d_in, STRIDE=dense.shape[-1], ENTRIES=SEEN_ENTRIES, SUM=TL[out_F.dtype],
        ONE=len(of_encoder.listed) > 0, TWO=len(of_encoder.listed) > 1, DENSE=of_encoder.dense is not None, num_warps=1,
    )  # fmt: skip


def update_b_enc(b_enc: Moved, gradient_F: Tensor, copy_FX: Tensor | None, d_in: int, adam_scalars: Tensor) -> None:
    """One Adam step on the encoder's biases; their copies stand behind the weights' in `copy_FX`."""
    F, copy = gradient_F.shape[0], gradient_F if copy_FX is None else copy_FX
    block = min(power_of_two(F), 512)
    update_biases[(triton.cdiv(F, block),)](
        *b_enc, gradient_F, copy, adam_scalars, F=F, D=d_in, STRIDE=copy.shape[-1], BLOCK=block,
        COPIES=copy_FX is not None,
    )  # fmt: skip


def update_matrix(
    gradient: Gradient, matrix: Moved, copy_FX: Tensor | None, adam_scalars: Tensor, unit: bool
) -> None:  # fmt: skip
    """One Adam step on encoder or decoder; rows are normalised if `unit`."""
    (F, D), listed, dtype = matrix.weight.shape, gradient.listed, matrix.weight.dtype
    one, two = _slots(listed, matrix.weight)
    (k, stride, window), (k2, stride2, window2) = [part.sizes for part in listed] + [(1, 1, 1)] * (2 - len(listed))
    dense = matrix.weight if gradient.dense is None else gradient.dense
    copy = matrix.weight if copy_FX is None else copy_FX
    update_rows[(F,)](
        *one, *two, dense, *matrix, copy, adam_scalars, K=k, K2=k2, STRIDE=stride, STRIDE2=stride2, WINDOW=window,
        WINDOW2=window2, DENSE_STRIDE=dense.shape[1], COPY_STRIDE=copy.shape[1], D=D, ENTRIES=ENTRIES,
        COLUMNS=min(power_of_two(D), COLUMNS), SUM=TL[dtype], ONE=len(listed) > 0, TWO=len(listed) > 1,
        DENSE=gradient.dense is not None, UNIT=unit, COPIES=copy_FX is not None, num_warps=4,
    )  # fmt: skip


def _slots(listed: tuple[Summed, ...], nothing: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Pointers of two sums; those of one that is not there are never read."""
    slots = [part.pointers for part in listed] + [(nothing,) * 5] * (2 - len(listed))
    return slots[0], slots[1]
