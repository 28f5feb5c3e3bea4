"""What a row needs: its residual, the residual or its input seen by its active latents, its place in dense matrices.

One program a row, or a row and a block of its codes. Rows of a dictionary are gathered once and used twice: as soon as
a slice of the residual is known, so is that slice's share of its products with the active latents.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from husai.training.engines.triton_kernels.compiled import kernel
from husai.training.engines.triton_kernels.screening import TL, power_of_two

TILE = 8192  # gathered numbers that a program holds at a time
WIDEST_SLICE, NARROWEST_SLICE = 256, 16
MOST_FUSED = 128  # codes of a row whose products with the residual are summed in one go
CODES_PER_PROGRAM, ENTRIES_PER_PROGRAM = 32, 1024


@kernel
def decode_rows(
    target_ptr, bias_ptr, index_ptr, value_ptr, W_ptr, scale_ptr, residual_ptr, seen_ptr, error_ptr,
    K: tl.constexpr, F: tl.constexpr, D: tl.constexpr, CODES: tl.constexpr, SLICE: tl.constexpr, SUM: tl.constexpr,
    CENTRE: tl.constexpr, FUSED: tl.constexpr,
):  # fmt: skip
    """residual = scale (target - bias - f W), its product with the active latents, and the unscaled squared error."""
    row = tl.program_id(0).to(tl.int64)
    codes, columns = tl.arange(0, CODES), tl.arange(0, SLICE)
    scale = tl.load(scale_ptr)
    error = tl.zeros([SLICE], SUM)
    seen = tl.zeros([CODES], SUM)
    for first in range(0, D, SLICE):
        column = first + columns
        inside = column < D
        left = tl.load(target_ptr + row * D + column, mask=inside, other=0.0).to(SUM)
        if CENTRE:
            left -= tl.load(bias_ptr + column, mask=inside, other=0.0).to(SUM)
        W = tl.zeros([CODES, SLICE], SUM)
        for begin in range(0, K, CODES):
            code = begin + codes
            latent = tl.load(index_ptr + row * K + code, mask=code < K, other=F)
            value = tl.load(value_ptr + row * K + code, mask=code < K, other=0.0)
            at = latent.to(tl.int64)[:, None] * D + column[None, :]
            W = tl.load(W_ptr + at, mask=(latent < F)[:, None] & inside[None, :], other=0.0).to(SUM)
            left -= tl.sum(value[:, None] * W, 0)
        error += left * left
        tl.store(residual_ptr + row * D + column, (scale * left).to(residual_ptr.dtype.element_ty), mask=inside)
        if FUSED:
            seen += tl.sum(W * left[None, :], 1)
    tl.store(error_ptr + row, tl.sum(error, 0))
    if FUSED:
        tl.store(seen_ptr + row * K + codes, scale * seen, mask=codes < K)


@kernel
def dot_rows(
    x_ptr, centre_ptr, W_ptr, bias_ptr, index_ptr, out_ptr, K: tl.constexpr, F: tl.constexpr, D: tl.constexpr,
    CODES: tl.constexpr, SLICE: tl.constexpr, SUM: tl.constexpr, ENCODE: tl.constexpr,
):  # fmt: skip
    """Products of a row with some latents. To encode: centre the row, add the bias, and what is <= 0 is nobody."""
    row = tl.program_id(0).to(tl.int64)
    code = tl.program_id(1) * CODES + tl.arange(0, CODES)
    columns = tl.arange(0, SLICE)
    latent = tl.load(index_ptr + row * K + code, mask=code < K, other=F)
    total = tl.zeros([CODES], SUM)
    for first in range(0, D, SLICE):
        column = first + columns
        inside = column < D
        x = tl.load(x_ptr + row * D + column, mask=inside, other=0.0).to(SUM)
        if ENCODE:
            x -= tl.load(centre_ptr + column, mask=inside, other=0.0).to(SUM)
        at = latent.to(tl.int64)[:, None] * D + column[None, :]
        W = tl.load(W_ptr + at, mask=(latent < F)[:, None] & inside[None, :], other=0.0).to(SUM)
        total += tl.sum(W * x[None, :], 1)
    if ENCODE:
        total += tl.load(bias_ptr + latent, mask=latent < F, other=0.0)
        nobody = (latent >= F) | (total <= 0)  # a NaN is not <= 0: it stays, and shows
        total = tl.where(nobody, total * 0, total)
        tl.store(index_ptr + row * K + code, tl.where(nobody, F, latent), mask=code < K)
    tl.store(out_ptr + row * K + code, total, mask=code < K)


@kernel
def scatter_codes(index_ptr, number_ptr, dense_ptr, COUNT, K: tl.constexpr, F: tl.constexpr, BLOCK: tl.constexpr):
    """Write numbers [B, K] to their latents' columns of a matrix [B, F]."""
    entry = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    latent = tl.load(index_ptr + entry, mask=entry < COUNT, other=F)
    number = tl.load(number_ptr + entry, mask=entry < COUNT, other=0.0)
    to = (entry // K).to(tl.int64) * F + latent
    tl.store(dense_ptr + to, number.to(dense_ptr.dtype.element_ty), mask=latent < F)


@kernel
def mark_fired(index_ptr, last_ptr, rows_ptr, COUNT, ROWS: tl.constexpr, F: tl.constexpr, BLOCK: tl.constexpr):
    """Active latents last fired `ROWS` rows after those seen before; all who write the same place write the same."""
    entry = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    latent = tl.load(index_ptr + entry, mask=entry < COUNT, other=F)
    now = tl.load(rows_ptr) + ROWS
    tl.store(last_ptr + latent, tl.zeros([BLOCK], tl.int64) + now, mask=latent < F)


def slice_of(d_in: int, codes: int) -> int:
    """Columns that are held at a time beside so many codes."""
    return min(power_of_two(d_in), max(NARROWEST_SLICE, min(WIDEST_SLICE, TILE // codes)))


def decode(
    target_BO: Tensor, bias_O: Tensor | None, index_BK: Tensor, value_BK: Tensor, W_dec_FO: Tensor, scale: Tensor,
    residual_BO: Tensor, seen_BK: Tensor, error_B: Tensor,
) -> None:  # fmt: skip
    """What the codes leave of the target (less the bias); residual and `seen` are times `scale`, the error is not."""
    (batch, k), (F, D) = index_BK.shape, W_dec_FO.shape
    codes, fused = min(power_of_two(k), MOST_FUSED), k <= MOST_FUSED
    decode_rows[(batch,)](
        target_BO, target_BO if bias_O is None else bias_O, index_BK, value_BK, W_dec_FO, scale, residual_BO, seen_BK,
        error_B, K=k, F=F, D=D, CODES=codes, SLICE=slice_of(D, codes), SUM=TL[error_B.dtype],
        CENTRE=bias_O is not None, FUSED=fused, num_warps=4,
    )  # fmt: skip
    if not fused:
        _dots(residual_BO, residual_BO, W_dec_FO, residual_BO, index_BK, seen_BK, encode=False)


def encode_again(
    x_BD: Tensor, b_dec_D: Tensor, W_enc_FD: Tensor, b_enc_F: Tensor, index_BK: Tensor, value_BK: Tensor
) -> None:
    """Values of chosen latents from the master weights; those that are not positive are dropped."""
    _dots(x_BD, b_dec_D, W_enc_FD, b_enc_F, index_BK, value_BK, encode=True)


def _dots(
    x_BD: Tensor, centre_D: Tensor, W_FD: Tensor, bias_F: Tensor, index_BK: Tensor, out_BK: Tensor, encode: bool
) -> None:
    (batch, k), (F, D) = index_BK.shape, W_FD.shape
    codes = min(power_of_two(k), CODES_PER_PROGRAM)
    dot_rows[(batch, triton.cdiv(k, codes))](
        x_BD, centre_D, W_FD, bias_F, index_BK, out_BK, K=k, F=F, D=D, CODES=codes, SLICE=slice_of(D, codes),
        SUM=TL[out_BK.dtype], ENCODE=encode, num_warps=4,
    )  # fmt: skip


def scatter(index_BK: Tensor, number_BK: Tensor, dense_BF: Tensor) -> None:
    """Numbers of the active latents into a matrix; the rest of it is left as it is."""
    count, k = index_BK.numel(), index_BK.shape[1]
    scatter_codes[(triton.cdiv(count, ENTRIES_PER_PROGRAM),)](
        index_BK, number_BK, dense_BF, count, K=k, F=dense_BF.shape[1], BLOCK=ENTRIES_PER_PROGRAM
    )


def note_fired(index_BK: Tensor, last_fired_F: Tensor, rows: Tensor) -> None:
    """Latents active in some row fired just now, `rows` (a number on the device) being those seen before."""
    count = index_BK.numel()
    mark_fired[(triton.cdiv(count, ENTRIES_PER_PROGRAM),)](
        index_BK, last_fired_F, rows, count, ROWS=index_BK.shape[0], F=last_fired_F.shape[0], BLOCK=ENTRIES_PER_PROGRAM
    )
