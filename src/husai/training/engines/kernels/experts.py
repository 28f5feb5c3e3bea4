"""What routed SAEs need beside the rest: the experts of a row, codes weighed by them, and the slope of the router."""

from __future__ import annotations

import numpy as np

from husai.training.engines.kernels.compiled import compiled
from husai.training.engines.kernels.latents import adam_row
from husai.training.engines.kernels.rows import add_to_block, decode_row, dot, select


@compiled
def route_rows(x_BD, W_ED, b_1D, active, log_p_BE, gates_BE, chosen_BE):
    """The logarithm of p, whether an expert is among the `active` of the row, and p where it is, else 0.

    Ties go to the lowest expert.
    """
    E = W_ED.shape[0]
    for b in range(x_BD.shape[0]):
        largest, total = x_BD.dtype.type(-np.inf), x_BD.dtype.type(0)
        for e in range(E):
            log_p_BE[b, e] = dot(x_BD, b, W_ED, e) - dot(b_1D, 0, W_ED, e)
            largest, chosen_BE[b, e] = max(largest, log_p_BE[b, e]), 0
        for e in range(E):
            total += np.exp(log_p_BE[b, e] - largest)
        for _ in range(active):
            choose_one(b, log_p_BE, chosen_BE)
        for e in range(E):
            log_p_BE[b, e] -= largest + np.log(total)
            gates_BE[b, e] = np.exp(log_p_BE[b, e]) * chosen_BE[b, e]


@compiled
def choose_one(b, logits_BE, chosen_BE):
    """Mark the largest of row b that is not marked, the lowest of equals."""
    best = -1
    for e in range(logits_BE.shape[1]):
        if chosen_BE[b, e] == 0 and (best < 0 or logits_BE[b, e] > logits_BE[b, best]):
            best = e
    chosen_BE[b, best] = 1


@compiled
def close_latents(z_BF, chosen_BE, lowest):
    """Set pre-activations to `lowest` outside the row's experts."""
    width = z_BF.shape[1] // chosen_BE.shape[1]
    for b in range(z_BF.shape[0]):
        for e in range(chosen_BE.shape[1]):
            if chosen_BE[b, e] == 0:
                for f in range(e * width, (e + 1) * width):
                    z_BF[b, f] = lowest


@compiled
def weigh(b, gates_BE, chosen_BE, width, index_BK, value_BK, bare_BK, active):
    """Drop codes of row b outside its experts, weigh the others, of which `bare_BK` is unweighed; returns how many."""
    kept = 0
    for c in range(active):
        f, z = index_BK[b, c], value_BK[b, c]
        index_BK[b, kept], value_BK[b, kept], bare_BK[b, kept] = f, z * gates_BE[b, f // width], z
        kept += chosen_BE[b, f // width] != 0
    for c in range(kept, index_BK.shape[1]):
        index_BK[b, c], value_BK[b, c] = -1, 0
    return kept


@compiled
def code_routed_rows(
    x_BD, target_BO, weights, candidates, routes, everywhere, scratch, codes, residual_BO, error_B, columns_NO
):  # fmt: skip
    """`code_rows` with codes that carry the gate of their expert, selected within experts unless `everywhere`.

    `routes` are (p of the chosen experts [B, E], whether they are chosen [B, E], and, to be filled, the slope of the
    loss along those p in units of -2 / B).
    """
    W_enc_FD, b_enc_F, W_dec_FO = weights
    found_BC, count_B = candidates
    index_BK, active_B, value_BK, seen_BK = codes
    gates_BE, chosen_BE, wanted_BE = routes
    width = W_enc_FD.shape[0] // gates_BE.shape[1]
    for b in range(x_BD.shape[0]):
        count = count_B[b]
        if count < 0 and not everywhere:
            active = select(x_BD, b, W_enc_FD, b_enc_F, found_BC, count, False, scratch, index_BK, value_BK, chosen_BE)
        else:
            active = select(x_BD, b, W_enc_FD, b_enc_F, found_BC, count, False, scratch, index_BK, value_BK, None)
        active = weigh(b, gates_BE, chosen_BE, width, index_BK, value_BK, seen_BK, active)
        active_B[b] = active
        decode_row(target_BO, b, W_dec_FO, index_BK, value_BK, active, residual_BO)
        for e in range(gates_BE.shape[1]):
            wanted_BE[b, e] = 0
        for c in range(active):
            f, z = index_BK[b, c], seen_BK[b, c]
            slope, e = dot(residual_BO, b, W_dec_FO, f), f // width
            wanted_BE[b, e] += slope * z
            seen_BK[b, c] = slope * gates_BE[b, e]
        error_B[b] = dot(residual_BO, b, residual_BO, b)
        add_to_block(residual_BO, b, columns_NO)


@compiled
def router_slopes(log_p_BE, wanted_BE, balance_E, entropy, slope_BE, entropy_B):
    """The slope of the loss along the logits, in units of -2 / B, and the entropy of each row.

    Along p it is `wanted_BE`, from the reconstruction, plus `balance_E`; `entropy` is the weight of the rows' entropy.
    """
    for b in range(log_p_BE.shape[0]):
        mean, total = log_p_BE.dtype.type(0), log_p_BE.dtype.type(0)
        for e in range(log_p_BE.shape[1]):
            p = np.exp(log_p_BE[b, e])
            mean += p * (wanted_BE[b, e] + balance_E[e])
            total -= p * log_p_BE[b, e]
        entropy_B[b] = total
        for e in range(log_p_BE.shape[1]):
            along = wanted_BE[b, e] + balance_E[e] - mean - entropy * (log_p_BE[b, e] + total)
            slope_BE[b, e] = np.exp(log_p_BE[b, e]) * along


@compiled
def router_gradient(slope_BE, x_BD, b_1D, e, g_ED):
    """g_e = sum_b slope_be (x_b - b_router), in batch order; returns sum_b slope_be."""
    total = g_ED.dtype.type(0)
    for d in range(g_ED.shape[1]):
        g_ED[e, d] = 0
    for b in range(x_BD.shape[0]):
        slope = slope_BE[b, e]
        total += slope
        for d in range(g_ED.shape[1]):
            g_ED[e, d] += slope * x_BD[b, d]
    for d in range(g_ED.shape[1]):
        g_ED[e, d] -= total * b_1D[0, d]
    return total


@compiled
def update_router(matrices, bias, g_ED, total_E, adam, g_D):
    """Adam on W_router and on b_router (as a row), whose gradient is -sum_e total_e w_e."""
    for d in range(g_D.shape[0]):
        g_D[d] = 0
    for e in range(g_ED.shape[0]):
        for d in range(g_D.shape[0]):
            g_D[d] -= total_E[e] * matrices[0][e, d]
    for e in range(g_ED.shape[0]):
        adam_row(matrices, e, g_ED[e], adam)
    adam_row(bias, 0, g_D, adam)
