"""The largest of a whole batch, and what prefixes of the dictionary leave of each row.

Rows have as many codes as they get, so codes lie in rows with room to spare. Everything here takes whole arrays and row
numbers; row b of level l of a residual is row `l * B + b` of one matrix, since a view would count references.
"""

from __future__ import annotations

import numpy as np

from husai.training.engines.kernels.compiled import compiled
from husai.training.engines.kernels.rounding import ROWS_PER_BLOCK
from husai.training.engines.kernels.rows import dot


@compiled
def code_reaching(x_BD, W_enc_FD, b_enc_F, found_BC, count_B, reach, index_BK, value_BK, active_B):
    """Exact positive codes of candidates not below `reach`, ascending; `active_B` counts those without room too.

    All latents are candidates where the count is -1.
    """
    for b in range(x_BD.shape[0]):
        active, total = 0, W_enc_FD.shape[0] if count_B[b] < 0 else count_B[b]
        for c in range(total):
            f = c if count_B[b] < 0 else found_BC[b, c]
            z = dot(x_BD, b, W_enc_FD, f) + b_enc_F[f]
            if not z <= 0 and not z < reach:  # a NaN stays, so that a diverging run shows it
                if active < index_BK.shape[1]:
                    index_BK[b, active], value_BK[b, active] = f, abs(z)  # its sign would hide a NaN among the bits
                active += 1
        active_B[b] = active


@compiled
def gather(bits_BK, active_B, out_N):
    """All codes in a row."""
    n = 0
    for b in range(bits_BK.shape[0]):
        for c in range(active_B[b]):
            out_N[n] = bits_BK[b, c]
            n += 1


@compiled
def keep_above(index_BK, value_BK, bits_BK, active_B, limit, room):
    """Keep codes whose bits are above `limit`, and the first `room` of those at it; returns the smallest that is kept.

    Bits of positive floats are ordered as they are. Infinity, if none is kept.
    """
    smallest = value_BK.dtype.type(np.inf)
    for b in range(index_BK.shape[0]):
        kept = 0
        for c in range(active_B[b]):
            above, at = bits_BK[b, c] > limit, bits_BK[b, c] == limit and room > 0
            room -= at
            if above or at:
                index_BK[b, kept], value_BK[b, kept] = index_BK[b, c], value_BK[b, c]
                smallest = min(smallest, value_BK[b, kept])
                kept += 1
        active_B[b] = kept
    return smallest


@compiled
def take_codes(W_dec_FO, index_BK, value_BK, b, begin, end, residual_RO, row):
    """Subtract some codes of row b, four latents at a time."""
    whole = end - (end - begin) % 4
    for c in range(begin, whole, 4):
        i, j, k, n = index_BK[b, c], index_BK[b, c + 1], index_BK[b, c + 2], index_BK[b, c + 3]
        p, q, r, s = value_BK[b, c], value_BK[b, c + 1], value_BK[b, c + 2], value_BK[b, c + 3]
        for d in range(W_dec_FO.shape[1]):
            residual_RO[row, d] -= (p * W_dec_FO[i, d] + q * W_dec_FO[j, d]) + (r * W_dec_FO[k, d] + s * W_dec_FO[n, d])
    for c in range(whole, end):
        i, p = index_BK[b, c], value_BK[b, c]
        for d in range(W_dec_FO.shape[1]):
            residual_RO[row, d] -= p * W_dec_FO[i, d]


@compiled
def add_row(X_RO, row, b, columns_NO):
    """Add a row to the sums of the block of b, which begin at 0."""
    block, first = b // ROWS_PER_BLOCK, b % ROWS_PER_BLOCK == 0
    for d in range(X_RO.shape[1]):
        columns_NO[block, d] = X_RO[row, d] if first else columns_NO[block, d] + X_RO[row, d]


@compiled
def decode_levels(first, last, target_BO, W_dec_FO, widths_L, codes, residual_RO, error_LB, columns_NO, summed_NO):
    """Residuals of rows `first` to `last` after the codes of each prefix, and what gradients need of them.

    A latent moves all prefixes that hold it: level l of `residual_RO` becomes the sum of the residuals of level l and
    all later ones, which is seen by the latents that level l adds. `error_LB` are squared errors; `columns_NO` are
    column sums, over blocks of rows, of the last level's residual, `summed_NO` of the sum over levels (left alone where
    there is one).
    """
    index_BK, active_B, value_BK, seen_BK = codes
    levels, B, width = widths_L.shape[0], target_BO.shape[0], target_BO.shape[1]
    for b in range(first, last):
        begin = 0
        for at in range(levels):
            row, end = at * B + b, begin
            while end < active_B[b] and index_BK[b, end] < widths_L[at]:
                end += 1
            for d in range(width):
                residual_RO[row, d] = target_BO[b, d] if at == 0 else residual_RO[row - B, d]
            take_codes(W_dec_FO, index_BK, value_BK, b, begin, end, residual_RO, row)
            error_LB[at, b] = dot(residual_RO, row, residual_RO, row)
            begin = end
        add_row(residual_RO, (levels - 1) * B + b, b, columns_NO)
        for at in range(levels - 2, -1, -1):
            for d in range(width):
                residual_RO[at * B + b, d] += residual_RO[(at + 1) * B + b, d]
        if levels > 1:
            add_row(residual_RO, b, b, summed_NO)
        level = 0
        for c in range(active_B[b]):
            while index_BK[b, c] >= widths_L[level]:
                level += 1
            seen_BK[b, c] = dot(residual_RO, level * B + b, W_dec_FO, index_BK[b, c])
