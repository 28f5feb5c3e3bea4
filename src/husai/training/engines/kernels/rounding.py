"""Centred rows and weights in bfloat16, with what bounds the effect of the rounding on a dot product.

The error of a rounded x.w is sum_d (dx_d w_d + x_d dw_d), its signs as good as random. By Cauchy-Schwarz its variance
is at most sqrt(sum dx^4) sqrt(sum w^4) + sqrt(sum x^4) sqrt(sum dw^4), whatever outlying dimensions the two share.
"""

from __future__ import annotations

import numpy as np

from husai.training.engines.kernels.compiled import compiled

# Sums over rows run within blocks, then over blocks: an order that does not depend on who computes what.
ROWS_PER_BLOCK = 64


@compiled
def centre_rows(x_BD, b_dec_D, centred_BD, square_B, columns_ND):
    """x - b_dec, the squared norm of each row, and column sums over blocks of rows."""
    for b in range(x_BD.shape[0]):
        block, total = b // ROWS_PER_BLOCK, centred_BD.dtype.type(0)
        if b % ROWS_PER_BLOCK == 0:
            for d in range(x_BD.shape[1]):
                columns_ND[block, d] = 0
        for d in range(x_BD.shape[1]):
            value = x_BD[b, d] - b_dec_D[d]
            centred_BD[b, d] = value
            columns_ND[block, d] += value
            total += value * value
        square_B[b] = total


@compiled
def round_rows(x_ND, bits_ND, back_D, back_bits_D, rounded_ND, size_N, error_N):
    """Round to bfloat16 (nearest, ties to even); notes sqrt(sum x^4) and sqrt(sum dx^4) of each row.

    `bits_ND` is `x_ND` seen as uint32, `rounded_ND` int16, `back_D` float32 scratch, `back_bits_D` the same memory.
    """
    low, one, sixteen = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)
    for n in range(x_ND.shape[0]):
        size, error = np.float32(0.0), np.float32(0.0)
        for d in range(x_ND.shape[1]):
            bits = (bits_ND[n, d] + low + ((bits_ND[n, d] >> sixteen) & one)) >> sixteen
            rounded_ND[n, d] = np.int16(bits)
            back_bits_D[d] = bits << sixteen
        for d in range(x_ND.shape[1]):
            x = x_ND[n, d]
            off = x - back_D[d]
            size += (x * x) * (x * x)
            error += (off * off) * (off * off)
        size_N[n], error_N[n] = np.sqrt(size), np.sqrt(error)


@compiled
def round_bias(b_F, bits_F, back_F, back_bits_F, rounded_F, size_F, error_F):
    """Round biases to bfloat16; returns the largest error among them, and the largest `size_F` and `error_F`.

    Arguments as in `round_rows`.
    """
    low, one, sixteen = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)
    for f in range(b_F.shape[0]):
        bits = (bits_F[f] + low + ((bits_F[f] >> sixteen) & one)) >> sixteen
        rounded_F[f] = np.int16(bits)
        back_bits_F[f] = bits << sixteen
    largest, size, error = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for f in range(b_F.shape[0]):
        off = abs(b_F[f] - back_F[f])
        largest = largest if off <= largest else off  # in this order a NaN is passed on
        size = size if size_F[f] <= size else size_F[f]
        error = error if error_F[f] <= error else error_F[f]
    return largest, size, error
