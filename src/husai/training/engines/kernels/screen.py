"""Which latents may be among the k largest of a row, given rounded pre-activations and how far they can be off.

With every |z' - z| <= m + e |z'|, the k largest z are among those whose z' is not below
((1 - e) t - 2 m) / (1 + e), where t is any number that at least k of the z' reach. The k-th largest of the maxima of
disjoint groups is such a number and costs one pass. Only positive z matter, so z' below -m never do.
"""

from __future__ import annotations

import numpy as np

from husai.training.engines.kernels.compiled import compiled

SIGMAS = 6.0
SIGN = np.uint32(0x8000)  # a threshold of zero is taken for minus zero


@compiled
def group_maxima(z_BF, b, size, lowest, maxima_CL):
    """Maxima of groups of `size` elements of row b: elementwise, so that the vector unit can do it.

    The row is cut into C chunks of `size` lines of L elements; a group is a column of a chunk.
    """
    lanes, width = maxima_CL.shape[1], z_BF.shape[1]
    for c in range(maxima_CL.shape[0]):
        maxima_L = maxima_CL[c]
        for j in range(lanes):
            maxima_L[j] = lowest
        for first in range(c * size * lanes, min((c + 1) * size * lanes, width), lanes):
            line = z_BF[b, first : first + lanes]
            for j in range(line.shape[0]):
                maxima_L[j] = max(maxima_L[j], line[j])


@compiled
def count_reaching(values_N, threshold):
    """How many values are not below the threshold."""
    count = np.int32(0)
    for j in range(values_N.shape[0]):
        count += np.int32(values_N[j] >= threshold)
    return count


@compiled
def kth_bits(maxima_N, k, guess):
    """A number that k and hardly more of the maxima reach, 0 if fewer than k are positive (int16 bits of bfloat16).

    The search begins at `guess`: what one row needs is near what the row before it needed.
    """
    low, high, step, middle = np.int32(0), np.int32(0x7FFF), np.int32(16), np.int32(guess)
    while high - low > 1:
        if middle <= low or middle >= high:
            middle = (low + high) >> 1
        reached = count_reaching(maxima_N, np.int16(middle))
        if reached >= k:
            low = middle
            if reached <= k + k // 8:
                break
            middle += step
        else:
            high = middle
            middle -= step
        step *= 2
    return low


@compiled
def groups_reaching(maxima_CL, size, threshold, groups_N):
    """First elements of groups whose maximum is not below the threshold; without branches: none could be foretold."""
    count, lanes = 0, maxima_CL.shape[1]
    for c in range(maxima_CL.shape[0]):
        first = np.int32(c * size * lanes)
        for j in range(lanes):
            groups_N[count] = first + np.int32(j)
            count += maxima_CL[c, j] >= threshold
    return count


@compiled
def collect(z_BF, b, size, maxima_CL, threshold, groups_N, found_BC):
    """Numbers of the elements of row b not below the threshold, ascending; -1 if there may not be room for them."""
    lanes, width, count = maxima_CL.shape[1], z_BF.shape[1], 0
    groups = groups_reaching(maxima_CL, size, threshold, groups_N)
    if size == 1:  # a group is an element
        if groups > found_BC.shape[1]:
            return -1
        for n in range(groups):
            found_BC[b, n] = groups_N[n]
        return groups
    for n in range(groups):
        if count + size > found_BC.shape[1]:
            return -1
        for f in range(groups_N[n], min(groups_N[n] + size * lanes, width), lanes):
            found_BC[b, count] = f
            count += z_BF[b, f] >= threshold
    sort_ascending(found_BC, b, count)
    return count


@compiled
def sort_ascending(found_BC, b, count):
    """Sort the first elements of row b in place; they are out of order only within a chunk."""
    for i in range(1, count):
        f, at = found_BC[b, i], i
        while at > 0 and found_BC[b, at - 1] > f:
            found_BC[b, at] = found_BC[b, at - 1]
            at -= 1
        found_BC[b, at] = f


@compiled
def collect_below_zero(z_BF, b, limit, found_BC):
    """The same for a threshold of zero or below with bits `limit`: as unsigned, positive numbers are all below it."""
    count = 0
    for f in range(z_BF.shape[1]):
        if np.uint16(z_BF[b, f]) <= limit:
            if count == found_BC.shape[1]:
                return -1
            found_BC[b, count] = f
            count += 1
    return count


@compiled
def screen_rounded(z_BF, k, size, rows, weights, output_error, maxima_CL, groups_N, scratch, found_BC, count_B):
    """Candidates of each row from bfloat16 pre-activations (as int16); count -1 where the row must be done in full.

    m is SIGMAS standard deviations of the products' error plus that of the bias: `rows` are (sqrt(sum x^4),
    sqrt(sum dx^4)) of each row, `weights` the largest error of a bias and the largest such two numbers of a latent.
    `output_error` is e, `size` that of groups; `groups_N` has room for one group more than there are; `scratch` are [1]
    float32 and the same memory as uint32.
    """
    size_B, error_B = rows
    bias_error, weight_size, weight_error = weights
    value, bits_of = scratch
    maxima_N, reached = maxima_CL.reshape(maxima_CL.size), np.int32(0)
    for b in range(z_BF.shape[0]):
        group_maxima(z_BF, b, size, np.int16(-0x8000), maxima_CL)
        reached = kth_bits(maxima_N, k, reached)
        bits_of[0] = np.uint32(reached) << np.uint32(16)
        m = SIGMAS * np.sqrt(size_B[b] * weight_error + error_B[b] * weight_size) + bias_error
        threshold = max(((1 - output_error) * value[0] - 2 * m) / (1 + output_error), -m * (1 + output_error))
        value[0] = np.float32(threshold)
        bits = bits_of[0] >> np.uint32(16)
        if not threshold < np.inf:
            count_B[b] = -1
        elif threshold > 0:
            count_B[b] = collect(z_BF, b, size, maxima_CL, np.int16(bits), groups_N, found_BC)
        else:
            count_B[b] = collect_below_zero(z_BF, b, np.uint16((bits | SIGN) + np.uint32(1)), found_BC)


@compiled
def screen_plain(z_BF, k, size, square_B, error, maxima_CL, groups_N, sorted_N, found_BC, count_B):
    """The same from pre-activations in a full float type, off by at most `error` times the norm of the row."""
    maxima_N = maxima_CL.reshape(maxima_CL.size)
    for b in range(z_BF.shape[0]):
        group_maxima(z_BF, b, size, z_BF.dtype.type(-np.inf), maxima_CL)
        for j in range(maxima_N.shape[0]):
            sorted_N[j] = maxima_N[j]
        sorted_N.sort()
        m = error * np.sqrt(square_B[b])
        threshold = max(sorted_N[sorted_N.shape[0] - k] - 2 * m, -m)
        if threshold < np.inf:
            count_B[b] = collect(z_BF, b, size, maxima_CL, threshold, groups_N, found_BC)
        else:
            count_B[b] = -1


@compiled
def reach_rounded(z_BF, reach, size, rows, weights, output_error, maxima_CL, groups_N, scratch, found_BC, count_B):
    """Candidates of each row for pre-activations not below `reach`, which is one for all; else as `screen_rounded`."""
    size_B, error_B = rows
    bias_error, weight_size, weight_error = weights
    value, bits_of = scratch
    for b in range(z_BF.shape[0]):
        m = SIGMAS * np.sqrt(size_B[b] * weight_error + error_B[b] * weight_size) + bias_error
        lowest = reach - m
        threshold = lowest / (1 + output_error) if lowest > 0 else lowest * (1 + output_error)
        value[0] = np.float32(threshold)
        bits = bits_of[0] >> np.uint32(16)
        if not threshold < np.inf:
            count_B[b] = -1
        elif threshold > 0:
            group_maxima(z_BF, b, size, np.int16(-0x8000), maxima_CL)
            count_B[b] = collect(z_BF, b, size, maxima_CL, np.int16(bits), groups_N, found_BC)
        else:
            count_B[b] = collect_below_zero(z_BF, b, np.uint16((bits | SIGN) + np.uint32(1)), found_BC)


@compiled
def reach_plain(z_BF, reach, size, square_B, error, maxima_CL, groups_N, found_BC, count_B):
    """The same as `screen_plain` is to `screen_rounded`."""
    for b in range(z_BF.shape[0]):
        threshold = reach - error * np.sqrt(square_B[b])
        if threshold < np.inf:
            group_maxima(z_BF, b, size, z_BF.dtype.type(-np.inf), maxima_CL)
            count_B[b] = collect(z_BF, b, size, maxima_CL, threshold, groups_N, found_BC)
        else:
            count_B[b] = -1
