"""Group bias adaptation (2506.14002): biases are set by how often latents fire, not by a gradient; no penalty.

    f = relu(W_enc (x - b_dec) + b_enc);   x_hat = f W_dec + b_dec;   loss = mean_b ||x - x_hat||^2

Latent f of F is in group g = floor(f groups / F), which aims at firing in t_g = target * ratio^g of the rows. After
every step in which `window` rows or more have gone by since the last adaptation, with s_f the share of those rows in
which f fired, m_f its largest code in them (0 where it never fired) and M_g the mean of m over group g:

    b_f <- max(b_f - rate m_f, lowest_f)   where s_f > t_g        (fires too often)
    b_f <- min(b_f + rate M_g, 0)          where s_f = 0          (did not fire at all)
    b_f unchanged                          else,                  and counting starts again.

As far as it is known here, this is the source's rule with both of its rates equal, and with "less often than 1e-6"
read as "not at all", which is the same in any window below a million rows. Not checked against its text: that M_g
is a mean over all latents of the group. Different for certain: the source has rows of norm 1, one set of weights for
encoder and decoder, and no bias below -1; here rows have mean square norm d_in and the two are apart, so the lowest
bias is -sqrt(d_in) ||w_enc_f||, at which a latent hardly fires on any row, however large its weights. And the encoder
reads b_dec without passing a gradient to it: with one, the loss moves b_dec until every bias is undone (on planted
rows, d_in 32, rate of Adam 1e-3: an L0 of 30 where one of 3.9 was asked for; without it 3.9).

The rule itself lowers frequencies to their targets and no further, and only what never fires is raised; a frequency
measured in a window is noisy, so they end somewhat below: the more so, the smaller `window * t_g`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.codes import Codes, DenseCodes, decode
from husai.saes.config import GBAConfig
from husai.saes.parameters import Parameters, after_step_, core_shapes, initial, pre_activations, squared_error


def shapes(config: GBAConfig, d_in: int) -> Shapes:
    """The core; since the last adaptation: `fired` [F] firings, `peak` [F] largest codes, `rows` [1] rows."""
    per_latent = (config.d_sae,)
    return core_shapes(config.d_sae, d_in) | {"fired": per_latent, "peak": per_latent, "rows": (1,)}


def init(config: GBAConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Unit Gaussian decoder rows, tied encoder by default, biases 0, nothing counted."""
    p = initial(d_in, config.d_sae, config.tied_init, generator)
    return p | {"fired": torch.zeros(config.d_sae), "peak": torch.zeros(config.d_sae), "rows": torch.zeros(1)}


def encode(config: GBAConfig, p: Parameters, x_BD: Tensor) -> DenseCodes:
    """relu(pre), with no gradient into b_dec."""
    read = p | {"b_dec": p["b_dec"].detach()}
    return DenseCodes(pre_activations(read, x_BD, config.subtract_b_dec).relu())


def objective(config: GBAConfig, p: Parameters, batch: Batch) -> tuple[Terms, DenseCodes]:
    """`mse`."""
    codes = encode(config, p, batch.x_BD)
    return {"mse": squared_error(batch.y_BO, decode(codes, p["W_dec"], p["b_dec"]))}, codes


def groups(config: GBAConfig) -> Tensor:
    """[F]: the group of each latent."""
    return torch.arange(config.d_sae) * config.groups // config.d_sae


def targets(config: GBAConfig) -> Tensor:
    """[F]: the share of rows in which each latent is to fire."""
    return config.target * config.ratio ** groups(config).double()


def follow_(config: GBAConfig, p: Parameters, codes: Codes) -> None:
    """The norm of decoder rows; count; adapt when the window is full."""
    after_step_(config.decoder_norm, p)
    values_BF = codes.dense()
    p["fired"].add_((values_BF > 0).sum(0))
    p["peak"].copy_(torch.maximum(p["peak"], values_BF.amax(0)))
    p["rows"].add_(len(values_BF))
    if float(p["rows"]) >= config.window:
        p["b_enc"].copy_(adapted(config, p))
        for name in ("fired", "peak", "rows"):
            p[name].zero_()


def adapted(config: GBAConfig, p: Parameters) -> Tensor:
    """[F]: the biases after the rule."""
    bias_F, group_F = p["b_enc"], groups(config)
    total_G = p["peak"].new_zeros(config.groups).index_add(0, group_F, p["peak"])
    mean_F = (total_G / torch.bincount(group_F, minlength=config.groups))[group_F]
    lowest_F = -(p["W_enc"].shape[-1] ** 0.5) * p["W_enc"].norm(dim=-1)
    lowered_F = torch.maximum(bias_F - config.rate * p["peak"], lowest_F)
    raised_F = (bias_F + config.rate * mean_F).clamp_max(0)
    often_F = p["fired"].double() > targets(config) * p["rows"].double()
    return torch.where(often_F, lowered_F, torch.where(p["fired"] == 0, raised_F, bias_F))


GBA = Architecture(
    summary="ReLU, biases adapted so that groups of latents fire at target frequencies; no penalty",
    source="arXiv 2506.14002",
    sparse=False,
    knob="target",
    encode=encode,
    objective=objective,
    shapes=shapes,
    init=init,
    after_step_=follow_,
    buffers=("b_enc", "fired", "peak", "rows"),
)
