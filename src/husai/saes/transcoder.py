"""Transcoder (2406.11944) and skip transcoder (2501.18823), with TopK codes: one hook read, another reconstructed.

    pre = W_enc x + b_enc;   f = the k largest of relu(pre);   y_hat = f W_dec + b_dec  (+ x W_skip^T)
    loss = mean_b ||y - y_hat||^2 + AuxK (see `aux.py`, on y)

x and y are the first and the last columns of a row. `b_dec` lives where y does, so it is not taken off x. W_skip [O, D]
starts at zero. Other tools train transcoders with f = relu(pre) or f = relu(pre) [pre > threshold]; such ones can be
read and used (`activation`), but are not trained here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.architecture import Architecture, Batch, Shapes, Terms, linear_decode
from husai.saes.aux import aux_term, keep_largest
from husai.saes.codes import Codes, DenseCodes, SparseCodes
from husai.saes.config import TranscoderConfig
from husai.saes.parameters import Parameters, pre_activations, squared_error, unit_rows


def split(config: TranscoderConfig, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Input columns [..., D] and output columns [..., O] of rows [..., D + O]."""
    d_in, _ = config.widths(rows.shape[-1])
    return rows[..., :d_in], rows[..., d_in:]


def shapes(config: TranscoderConfig, width: int) -> Shapes:
    """The core with its two widths; with `threshold` [F] where codes are those of a JumpReLU."""
    d_in, d_out = config.widths(width)
    F = config.d_sae
    core: Shapes = {"W_enc": (F, d_in), "b_enc": (F,), "W_dec": (F, d_out), "b_dec": (d_out,)}
    return core | {"threshold": (F,)} if config.activation == "jumprelu" else core


def skip_shapes(config: TranscoderConfig, width: int) -> Shapes:
    """With `W_skip` [O, D]."""
    d_in, d_out = config.widths(width)
    return shapes(config, width) | {"W_skip": (d_out, d_in)}


def init(config: TranscoderConfig, width: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Unit Gaussian rows for encoder and decoder, each its own draw unless tied; biases 0.

    Raises:
        UserError: tied, but the hooks differ in width.
    """
    d_in, d_out = config.widths(width)
    if config.tied_init and d_in != d_out:
        raise UserError(f"tied_init needs hooks of one width, these have {d_in} and {d_out}: set tied_init to false")
    W_dec = unit_rows(torch.randn(config.d_sae, d_out, generator=generator))
    W_enc = W_dec.clone() if config.tied_init else unit_rows(torch.randn(config.d_sae, d_in, generator=generator))
    return {"W_enc": W_enc, "b_enc": torch.zeros(config.d_sae), "W_dec": W_dec, "b_dec": torch.zeros(d_out)}


def skip_init(config: TranscoderConfig, width: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """With `W_skip` = 0."""
    return init(config, width, generator, rows_ND) | {"W_skip": torch.zeros(skip_shapes(config, width)["W_skip"])}


def encode(config: TranscoderConfig, p: Parameters, x_BD: Tensor) -> Codes:
    """The k largest of relu(pre) in each row, or what another activation leaves of them."""
    z_BF = pre_activations(p, x_BD, subtract_b_dec=False).relu()
    if config.activation == "topk":
        return keep_largest(z_BF, config.k)
    return DenseCodes(z_BF if config.activation == "relu" else z_BF * (z_BF > p["threshold"]))


def skip_decode(config: TranscoderConfig, p: Parameters, codes: Codes, x_BD: Tensor) -> Tensor:
    """`f W_dec + b_dec + x W_skip^T`."""
    return linear_decode(config, p, codes, x_BD) + x_BD @ p["W_skip"].T


def objective(config: TranscoderConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse` on the output and `aux`."""
    pre = pre_activations(p, batch.x_BD, subtract_b_dec=False)
    codes = keep_largest(pre.relu(), config.k)
    rebuild = skip_decode if "W_skip" in p else linear_decode
    y_hat = rebuild(config, p, codes, batch.x_BD)
    return {"mse": squared_error(batch.y_BO, y_hat)} | aux_term(config, p, batch, pre, y_hat), codes


def fold(config: TranscoderConfig, p: Parameters, mean: Tensor, factor: float | Tensor) -> Parameters:
    """Each side with the scale of its own hook; what the mean of x adds goes into the biases."""
    mean_x, mean_y = (part.double() for part in split(config, mean))
    factor_x, factor_y = (part.double() for part in split(config, torch.as_tensor(factor).expand_as(mean)))
    wide = {name: tensor.double() for name, tensor in p.items()}
    W_enc = wide["W_enc"] * factor_x
    folded = wide | {"W_enc": W_enc, "b_enc": wide["b_enc"] - W_enc @ mean_x, "W_dec": wide["W_dec"] / factor_y}
    b_dec = wide["b_dec"] / factor_y + mean_y
    if "W_skip" in p:
        folded["W_skip"] = wide["W_skip"] * factor_x / factor_y[:, None]
        b_dec = b_dec - folded["W_skip"] @ mean_x
    return {name: tensor.to(p[name].dtype) for name, tensor in (folded | {"b_dec": b_dec}).items()}


TRANSCODER = Architecture(
    summary="reads one hook, reconstructs another; the k largest pre-activations",
    source="arXiv 2406.11944",
    sparse=True,
    knob="k",
    split=split,
    shapes=shapes,
    init=init,
    encode=encode,
    objective=objective,
    fold=fold,
)
SKIP_TRANSCODER = Architecture(
    summary="a transcoder with a linear path from input to output beside it",
    source="arXiv 2501.18823",
    sparse=True,
    knob="k",
    split=split,
    shapes=skip_shapes,
    init=skip_init,
    encode=encode,
    decode=skip_decode,
    objective=objective,
    fold=fold,
)
