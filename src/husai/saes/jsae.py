"""JSAE (2502.18147): two TopK SAEs, of an MLP's input x and output y, with a sparse Jacobian between their latents.

    f_x, f_y = TopK codes of x and of y;   x_hat = f_x W_dec + b_dec,  y_hat likewise
    loss = mean_b ||x - x_hat||^2 + mean_b ||y - y_hat||^2 + jacobian * V * mean_b,j,i |J_ji|
    J = W_enc_y W_out^T diag(phi'(h)) W_in^T W_dec_x^T between active latents,   h = W_in^T x_hat + b_in

J is the Jacobian of f_x -> f_y through the MLP y = W_out^T phi(W_in^T x + b_in) + b_out; of the k x k entries that are
not zero by TopK alone. A row holds x and y side by side, so do the matrices: the first half of the latents reads and
writes the columns of x, the second half those of y, and what is beside stays zero. V is the variance of the rows.
The MLP's weights, on scaled rows, come with the rows and do not move.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import embedding

from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.aux import keep_largest
from husai.saes.codes import SparseCodes, decode
from husai.saes.config import JacobianConfig
from husai.saes.folding import fold_core
from husai.saes.parameters import Parameters, core_shapes, initial, pre_activations, squared_error

MLP = ("mlp.W_in", "mlp.b_in", "mlp.W_out")  # [D, M], [M], [M, O]


def shapes(config: JacobianConfig, width: int) -> Shapes:
    """The core, and the MLP."""
    side, M = width // 2, config.d_mlp
    return core_shapes(config.d_sae, width) | {"mlp.W_in": (side, M), "mlp.b_in": (M,), "mlp.W_out": (M, side)}


def init(config: JacobianConfig, width: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Each side as TopK, zero beside; the MLP is given with the rows."""
    half, side = config.d_sae // 2, width // 2
    parts = [initial(side, half, config.tied_init, generator) for _ in range(2)]
    joined = {name: torch.block_diag(parts[0][name], parts[1][name]) for name in ("W_enc", "W_dec")}
    return joined | {"b_enc": torch.zeros(config.d_sae), "b_dec": torch.zeros(width)}


def _sides(config: JacobianConfig, p: Parameters) -> tuple[Parameters, Parameters]:
    """The two SAEs, as views."""
    half, side = config.d_sae // 2, p["W_dec"].shape[1] // 2
    first = {"W_enc": p["W_enc"][:half, :side], "W_dec": p["W_dec"][:half, :side]}
    second = {"W_enc": p["W_enc"][half:, side:], "W_dec": p["W_dec"][half:, side:]}
    first |= {"b_enc": p["b_enc"][:half], "b_dec": p["b_dec"][:side]}
    return first, second | {"b_enc": p["b_enc"][half:], "b_dec": p["b_dec"][side:]}


def _coded(config: JacobianConfig, p: Parameters, x_BW: Tensor) -> tuple[SparseCodes, SparseCodes]:
    side = x_BW.shape[1] // 2
    halves = zip(_sides(config, p), (x_BW[:, :side], x_BW[:, side:]), strict=True)
    x_codes, y_codes = (keep_largest(pre_activations(q, x, config.subtract_b_dec).relu(), config.k) for q, x in halves)
    return x_codes, y_codes


def _joined(config: JacobianConfig, x_codes: SparseCodes, y_codes: SparseCodes) -> SparseCodes:
    values = torch.cat([x_codes.values_BK, y_codes.values_BK], dim=-1)
    indices = torch.cat([x_codes.indices_BK, y_codes.indices_BK + config.d_sae // 2], dim=-1)
    return SparseCodes(values, indices, config.d_sae)


def encode(config: JacobianConfig, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """The k largest of each side."""
    return _joined(config, *_coded(config, p, x_BD))


def objective(config: JacobianConfig, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse` (of x), `mse_out` (of y) and, where it has a weight, `jacobian`."""
    (of_x, of_y), (x_codes, y_codes) = _sides(config, p), _coded(config, p, batch.x_BD)
    side = batch.x_BD.shape[1] // 2
    x_hat, y_hat = (decode(c, q["W_dec"], q["b_dec"]) for c, q in ((x_codes, of_x), (y_codes, of_y)))
    terms = {
        "mse": squared_error(batch.x_BD[:, :side], x_hat),
        "mse_out": squared_error(batch.x_BD[:, side:], y_hat),
    }
    if config.jacobian:
        size = jacobian(config, p, x_codes, y_codes, x_hat).abs().mean()
        terms["jacobian"] = config.jacobian * batch.variance * size
    return terms, _joined(config, x_codes, y_codes)


def jacobian(
    config: JacobianConfig, p: Parameters, x_codes: SparseCodes, y_codes: SparseCodes, x_hat_BD: Tensor
) -> Tensor:
    """J [B, k, k]: how the active latents of y move with the active latents of x, at x_hat."""
    of_x, of_y = _sides(config, p)
    into_FM, out_FM = of_x["W_dec"] @ p["mlp.W_in"], of_y["W_enc"] @ p["mlp.W_out"].T
    slope_BM = _slope(config.activation, x_hat_BD @ p["mlp.W_in"] + p["mlp.b_in"])
    # The gradient of an embedding is summed by the owner of a row, in the order of the batch.
    out_BKM = embedding(y_codes.indices_BK, out_FM) * slope_BM[:, None]
    return out_BKM @ embedding(x_codes.indices_BK, into_FM).transpose(1, 2)


def _slope(activation: str, h_BM: Tensor) -> Tensor:
    if activation == "relu":
        return (h_BM > 0).to(h_BM.dtype)
    density = torch.exp(-h_BM.square() / 2) / (2 * torch.pi) ** 0.5
    return 0.5 * (1 + torch.erf(h_BM / 2**0.5)) + h_BM * density


def fold(config: JacobianConfig, p: Parameters, mean: Tensor, factor: float | Tensor) -> Parameters:
    """Both SAEs, and the MLP back on rows as they were captured."""
    folded = fold_core(config, p, mean, factor)
    side, factor_D = len(mean) // 2, torch.as_tensor(factor).expand_as(mean)
    W_in = p["mlp.W_in"] * factor_D[:side, None]
    folded |= {"mlp.W_in": W_in, "mlp.b_in": p["mlp.b_in"] - mean[:side] @ W_in}
    return folded | {"mlp.W_out": p["mlp.W_out"] / factor_D[side:]}


def scaled_mlp(W_in: Tensor, b_in: Tensor, W_out: Tensor, mean: Tensor, factor: Tensor) -> Parameters:
    """The MLP as scaled rows see it: x = z / factor + mean."""
    side = W_in.shape[0]
    scaled_in = W_in / factor[:side, None]
    return {"mlp.W_in": scaled_in, "mlp.b_in": b_in + mean[:side] @ W_in, "mlp.W_out": W_out * factor[side:]}


def mlp(p: Parameters, activation: str, x_BD: Tensor) -> Tensor:
    """W_out^T phi(W_in^T x + b_in), without the output's bias."""
    phi = functional.relu if activation == "relu" else functional.gelu
    return phi(x_BD @ p["mlp.W_in"] + p["mlp.b_in"]) @ p["mlp.W_out"]


JSAE = Architecture(
    summary="two SAEs around an MLP whose Jacobian between latents is made sparse",
    source="arXiv 2502.18147",
    sparse=True,
    knob="k",
    shapes=shapes,
    init=init,
    encode=encode,
    objective=objective,
    fold=fold,
    buffers=MLP,
    context=MLP,
)
