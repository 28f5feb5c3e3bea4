"""Aligned training (2605.18629): TopK whose encoder and decoder directions agree, `w_enc_f . w_dec_f = 1`.

    codes and loss as in `topk.py`;   after each step   w_enc_f += (1 - w_enc_f . w_dec_f) w_dec_f / ||w_dec_f||^2

which is the smallest change of w_enc_f that meets the constraint. The source reaches the same constraint by a
reparametrisation; here the optimiser takes its step in W_enc and W_dec and the encoder is put back onto it, so the
moments of Adam differ from the source's. Decoder rows stay unit: free ones shrink where codes are too large, the
constraint makes the encoder, and so the codes, as much larger, and there is no end to it (seen on planted rows). A
latent that is given its own decoder row then has code 1 (biases 0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.architecture import Architecture
from husai.saes.codes import Codes
from husai.saes.config import AlignedConfig
from husai.saes.parameters import Parameters, after_step_, initial
from husai.saes.topk import encode, reconstruction


def align_(p: Parameters) -> None:
    """Move each encoder row as little as possible so that its product with its decoder row is 1, in place."""
    W_enc_FD, W_dec_FO = p["W_enc"], p["W_dec"]
    missing_F1 = 1 - (W_enc_FD * W_dec_FO).sum(-1, keepdim=True)
    square_F1 = W_dec_FO.square().sum(-1, keepdim=True).clamp_min(1e-12)
    W_enc_FD.add_(missing_F1 / square_F1 * W_dec_FO)


def init(config: AlignedConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Unit Gaussian decoder rows; the encoder, tied or drawn, meets the constraint; biases 0."""
    p = initial(d_in, config.d_sae, config.tied_init, generator)
    align_(p)
    return p


def follow_(config: AlignedConfig, p: Parameters, codes: Codes) -> None:
    """The norm of decoder rows, then the constraint."""
    after_step_(config.decoder_norm, p)
    align_(p)


ALIGNED = Architecture(
    summary="TopK with encoder . decoder = 1 for every latent",
    source="arXiv 2605.18629",
    sparse=True,
    knob="k",
    encode=encode,
    objective=reconstruction,
    init=init,
    after_step_=follow_,
)
