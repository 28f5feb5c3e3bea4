"""What a row needs: exact codes from its candidates, residual, and the residual seen by its active latents."""

from __future__ import annotations

from husai.training.engines.kernels.compiled import compiled
from husai.training.engines.kernels.rounding import ROWS_PER_BLOCK
from husai.training.engines.kernels.screen import count_reaching


@compiled
def dot(X_BD, b, W_FD, f):
    """x_b . w_f. Whole matrices and row numbers: a view of a row would count references, which threads fight over."""
    total = X_BD.dtype.type(0)
    for d in range(X_BD.shape[1]):
        total += X_BD[b, d] * W_FD[f, d]
    return total


@compiled
def kth_largest_bits(bits_N, count, k):
    """Bits of a number that exactly k of the first `count` reach, or of the k-th largest where ties forbid that.

    Positive floats are ordered as their bits are, and halving the bits is a search in few passes of the vector unit.
    """
    low, high = bits_N[0], bits_N[0]
    for c in range(count):
        low, high = min(low, bits_N[c]), max(high, bits_N[c])
    high += 1
    while high - low > 1:
        middle = low + (high - low) // 2
        reached = count_reaching(bits_N[:count], middle)
        if reached == k:
            return middle
        if reached > k:
            low = middle
        else:
            high = middle
    return low


@compiled
def select(x_BD, b, W_enc_FD, b_enc_F, found_BC, count, signed, scratch, index_BK, value_BK, chosen_BE):
    """Exact codes of row b: the k largest positive x . w + bias of its candidates; returns how many there are.

    Where `signed`, those of largest absolute value, with their sign. Ties go to the lowest number; codes are in
    ascending order of latent. All latents are candidates if `count` is -1. `scratch` are numbers, sizes, the same sizes
    seen as integers, and signs. With `chosen_BE` [B, E] only the latents of those of E experts are looked at.
    """
    numbers_F, values_F, bits_F, sign_F = scratch
    k, total = index_BK.shape[1], W_enc_FD.shape[0] if count < 0 else count
    positive = 0
    for c in range(total):
        f = c if count < 0 else found_BC[b, c]
        if chosen_BE is not None and chosen_BE[b, f // (W_enc_FD.shape[0] // chosen_BE.shape[1])] == 0:
            continue
        z = dot(x_BD, b, W_enc_FD, f) + b_enc_F[f]
        numbers_F[positive], values_F[positive] = f, abs(z)  # a NaN has a sign, which would hide it
        sign_F[positive] = -1 if signed and z < 0 else 1
        positive += z != 0 if signed else not z <= 0  # it stays, so that a diverging run has a code to report on
    if positive <= k:
        for c in range(positive):
            index_BK[b, c], value_BK[b, c] = numbers_F[c], sign_F[c] * values_F[c]
        for c in range(positive, k):
            index_BK[b, c], value_BK[b, c] = -1, 0
        return positive
    threshold = kth_largest_bits(bits_F, positive, k)
    room = k - count_reaching(bits_F[:positive], threshold + 1)
    active = 0
    for c in range(positive):
        above, at = bits_F[c] > threshold, bits_F[c] == threshold
        index_BK[b, active], value_BK[b, active] = numbers_F[c], sign_F[c] * values_F[c]
        active += above or (at and room > 0)
        room -= at
        if active == k:
            break
    return k


@compiled
def decode_row(target_BO, b, W_dec_FO, index_BK, value_BK, active, residual_BO):
    """residual = target - f W_dec, four latents at a time."""
    width = target_BO.shape[1]
    for d in range(width):
        residual_BO[b, d] = target_BO[b, d]
    whole = active - active % 4
    for c in range(0, whole, 4):
        i, j, k, n = index_BK[b, c], index_BK[b, c + 1], index_BK[b, c + 2], index_BK[b, c + 3]
        p, q, r, s = value_BK[b, c], value_BK[b, c + 1], value_BK[b, c + 2], value_BK[b, c + 3]
        for d in range(width):
            residual_BO[b, d] -= (p * W_dec_FO[i, d] + q * W_dec_FO[j, d]) + (r * W_dec_FO[k, d] + s * W_dec_FO[n, d])
    for c in range(whole, active):
        i, p = index_BK[b, c], value_BK[b, c]
        for d in range(width):
            residual_BO[b, d] -= p * W_dec_FO[i, d]


@compiled
def code_rows(
    x_BD, target_BO, weights, candidates, signed, shift, scratch, codes, residual_BO, error_B, columns_NO
):  # fmt: skip
    """Codes of rows, residual = target - f W_dec, its product with the active latents, squared error, sums.

    `weights` are (W_enc, b_enc, W_dec); `candidates` (numbers [B, C], counts [B], -1 for all latents); `scratch`
    what `select` takes; `codes` (index [B, K], active [B], value [B, K], residual . W_dec - shift [B, K]);
    `columns_NO` are column sums of the residual over blocks of rows.
    """
    W_enc_FD, b_enc_F, W_dec_FO = weights
    found_BC, count_B = candidates
    index_BK, active_B, value_BK, seen_BK = codes
    for b in range(x_BD.shape[0]):
        active = select(x_BD, b, W_enc_FD, b_enc_F, found_BC, count_B[b], signed, scratch, index_BK, value_BK, None)
        active_B[b] = active
        decode_row(target_BO, b, W_dec_FO, index_BK, value_BK, active, residual_BO)
        for c in range(active):
            seen_BK[b, c] = dot(residual_BO, b, W_dec_FO, index_BK[b, c]) - shift
        error_B[b] = dot(residual_BO, b, residual_BO, b)
        add_to_block(residual_BO, b, columns_NO)


@compiled
def add_to_block(x_BD, b, columns_ND):
    """Add row b to the sums of its block, which begin at 0."""
    block, first = b // ROWS_PER_BLOCK, b % ROWS_PER_BLOCK == 0
    for d in range(x_BD.shape[1]):
        columns_ND[block, d] = x_BD[b, d] if first else columns_ND[block, d] + x_BD[b, d]
