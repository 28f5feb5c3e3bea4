"""What a latent needs: its gradients, summed by its owner in batch order, and its Adam step.

One pass over a latent's weights does it all while they are in the cache; the gradient of the whole dictionary never
exists. Every latent is updated in every step, whether it fired or not.
"""

from __future__ import annotations

import numpy as np

from husai.training.engines.kernels.compiled import compiled

# b_dec's gradient is summed within blocks, then over them: an order that does not depend on who computes what.
LATENTS_PER_BLOCK = 256
FREE, UNIT, PROJECTED = 0, 1, 2  # what is done about the norm of decoder rows


@compiled
def list_rows(index_BK, active_B, first, last, start_F, row_E, slot_E):
    """Where latents `first` to `last` are active: entries start[f - first] to start[f - first + 1], in batch order."""
    n = last - first
    start_F[: n + 1] = 0
    for b in range(index_BK.shape[0]):
        for c in range(active_B[b]):
            f = index_BK[b, c]
            if first <= f < last:
                start_F[f - first + 1] += 1
    for f in range(n):
        start_F[f + 1] += start_F[f]
    for b in range(index_BK.shape[0]):
        for c in range(active_B[b]):
            f = index_BK[b, c]
            if first <= f < last:
                at = start_F[f - first]
                row_E[at], slot_E[at] = b, c
                start_F[f - first] += 1
    for f in range(n, 0, -1):
        start_F[f] = start_F[f - 1]
    start_F[0] = 0


@compiled
def add_rows(X_BD, weight_BK, lists, place, out_D):
    """out += sum_e weight_e x_e over the entries of a place in the lists, four rows at a time."""
    start_N, row_E, slot_E = lists
    begin, end = start_N[place], start_N[place + 1]
    whole = end - (end - begin) % 4
    for e in range(begin, whole, 4):
        i, j, k, n = row_E[e], row_E[e + 1], row_E[e + 2], row_E[e + 3]
        p, q = weight_BK[i, slot_E[e]], weight_BK[j, slot_E[e + 1]]
        r, s = weight_BK[k, slot_E[e + 2]], weight_BK[n, slot_E[e + 3]]
        for d in range(out_D.shape[0]):
            out_D[d] += (p * X_BD[i, d] + q * X_BD[j, d]) + (r * X_BD[k, d] + s * X_BD[n, d])
    for e in range(whole, end):
        i, p = row_E[e], weight_BK[row_E[e], slot_E[e]]
        for d in range(out_D.shape[0]):
            out_D[d] += p * X_BD[i, d]


@compiled
def gradients(x_BD, left, lists, place, g_D, g_O):
    """Add to g the gradients of the encoder and decoder rows of the latent in `place`; returns that of its bias.

    `left` is (residual [B, O], value [B, K], residual . W_dec [B, K]). In units of -2 / B, as all gradients here.
    """
    residual_BO, value_BK, seen_BK = left
    add_rows(x_BD, seen_BK, lists, place, g_D)
    add_rows(residual_BO, value_BK, lists, place, g_O)
    start_N, row_E, slot_E = lists
    total = g_D.dtype.type(0)
    for e in range(start_N[place], start_N[place + 1]):
        total += seen_BK[row_E[e], slot_E[e]]
    return total


@compiled
def adam_row(matrices, f, g_D, adam):
    """One Adam step on row f of (weights, m, v), whose gradient is adam's scale * g; returns its new squared norm.

    `adam` is [scale, step size, 1 - beta1, beta2, 1 - beta2, eps, square root of the second bias correction].
    """
    w_FD, m_FD, v_FD = matrices
    scale, step_size, new1, beta2, new2, eps, root = adam[0], adam[1], adam[2], adam[3], adam[4], adam[5], adam[6]
    total = g_D.dtype.type(0)
    for d in range(g_D.shape[0]):
        g = scale * g_D[d]
        m = m_FD[f, d] + (g - m_FD[f, d]) * new1
        v = beta2 * v_FD[f, d] + new2 * g * g
        w = w_FD[f, d] - step_size * m / (np.sqrt(v) / root + eps)
        m_FD[f, d], v_FD[f, d], w_FD[f, d] = m, v, w
        total += w * w
    return total


@compiled
def normalise(w_FD, f, squared_norm):
    """Divide row f by its norm; a zero row stays zero."""
    norm = max(np.sqrt(squared_norm), w_FD.dtype.type(1e-12))
    for d in range(w_FD.shape[1]):
        w_FD[f, d] = w_FD[f, d] / norm


@compiled
def align(w_FD, look_FD, f):
    """Move row f of w as little as possible so that its product with row f of `look` is 1."""
    along, square = w_FD.dtype.type(0), w_FD.dtype.type(0)
    for d in range(w_FD.shape[1]):
        along += w_FD[f, d] * look_FD[f, d]
        square += look_FD[f, d] * look_FD[f, d]
    missing = (1 - along) / max(square, w_FD.dtype.type(1e-12))
    for d in range(w_FD.shape[1]):
        w_FD[f, d] += missing * look_FD[f, d]


@compiled
def take_out_length(g_O, w_FO, f):
    """Take out of a gradient its part along row f, which would only change the row's length."""
    along, square = g_O.dtype.type(0), g_O.dtype.type(0)
    for d in range(g_O.shape[0]):
        along += g_O[d] * w_FO[f, d]
        square += w_FO[f, d] * w_FO[f, d]
    share = along / max(square, g_O.dtype.type(1e-24))
    for d in range(g_O.shape[0]):
        g_O[d] -= share * w_FO[f, d]


@compiled
def begin_gradients(f, x_BD, aux, aux_lists, aux_place_F, aux_first, aux_weight, g_D, g_O):
    """The dead latents' share of the gradients of latent f, else zero; returns that of its bias."""
    for d in range(g_D.shape[0]):
        g_D[d] = 0
    for d in range(g_O.shape[0]):
        g_O[d] = 0
    if aux_place_F[f] < 0:
        return g_D.dtype.type(0)
    total = gradients(x_BD, aux, aux_lists, aux_place_F[f] - aux_first, g_D, g_O)
    for d in range(g_D.shape[0]):
        g_D[d] *= aux_weight
    for d in range(g_O.shape[0]):
        g_O[d] *= aux_weight
    return total * aux_weight


@compiled
def pass_to_bias(f, weight, W_enc_FD, pull_ND):
    """Add weight * W_enc_f to the sum of the latent's block, which begins at 0."""
    block = f // LATENTS_PER_BLOCK
    if f % LATENTS_PER_BLOCK == 0:
        for d in range(W_enc_FD.shape[1]):
            pull_ND[block, d] = 0
    for d in range(W_enc_FD.shape[1]):
        pull_ND[block, d] += weight * W_enc_FD[f, d]


@compiled
def update_latents(
    first, last, x_BD, main, main_lists, aux, aux_lists, aux_place_F, aux_first, aux_weight, encoder, bias, decoder,
    last_fired_F, rows_seen, trained, norm, aligned, more_FO, adam, scratch, pull_ND,
):  # fmt: skip
    """Gradients and Adam for latents `first` (at a block's start) to `last`; what they pass to b_dec goes to `pull_ND`.

    `main` and `aux` are what `gradients` takes; `aux_place_F` says where a latent is among the dead, or -1, and
    `aux_lists` begin at dead latent `aux_first`. `encoder`, `bias` and `decoder` are (weights, m, v), the bias as a
    column; `trained` says whether encoder and decoder are; `norm` is one of the three above; `aligned` whether the
    encoder is put back onto `aligned.py`'s constraint; `more_FO` are decoder gradients from elsewhere, or no rows;
    `scratch` are three rows.
    """
    g_D, g_O, g_1 = scratch
    for f in range(first, last):
        total = begin_gradients(f, x_BD, aux, aux_lists, aux_place_F, aux_first, aux_weight, g_D, g_O)
        g_1[0] = total + gradients(x_BD, main, main_lists, f - first, g_D, g_O)
        if main_lists[0][f - first + 1] > main_lists[0][f - first]:
            last_fired_F[f] = rows_seen
        pass_to_bias(f, g_1[0], encoder[0], pull_ND)
        if trained[0]:
            adam_row(encoder, f, g_D, adam)
            adam_row(bias, f, g_1, adam)
        if trained[1]:
            if more_FO.shape[0] > 0:
                for d in range(g_O.shape[0]):
                    g_O[d] += more_FO[f, d]
            if norm == PROJECTED:
                take_out_length(g_O, decoder[0], f)
            square = adam_row(decoder, f, g_O, adam)
            if norm != FREE:
                normalise(decoder[0], f, square)
        if aligned:
            align(encoder[0], decoder[0], f)


@compiled
def update_matrix(matrices, g_NM, adam):
    """One Adam step on every row of a dense matrix of parameters, whose gradient is adam's scale * g."""
    for n in range(g_NM.shape[0]):
        adam_row(matrices, n, g_NM[n], adam)


@compiled
def update_bias(b_dec, columns_NO, pull_NO, adam, g_O):
    """Adam on b_dec, (weights, m, v) as a row: the residual's sum over rows, less what the encoder passes back."""
    for d in range(g_O.shape[0]):
        g_O[d] = 0
    for n in range(columns_NO.shape[0]):
        for d in range(g_O.shape[0]):
            g_O[d] += columns_NO[n, d]
    for n in range(pull_NO.shape[0]):
        for d in range(g_O.shape[0]):
            g_O[d] -= pull_NO[n, d]
    adam_row(b_dec, 0, g_O, adam)
