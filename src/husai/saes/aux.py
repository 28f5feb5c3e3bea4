"""AuxK (OpenAI 2406.04093): the best `aux_k` dead latents predict what the living ones leave.

    aux = c * V * mean_b ||e - e_hat||^2 / mean_b ||e - mean e||^2

with e = y - y_hat (no gradient through it), e_hat the best `aux_k` dead latents' codes times W_dec, without b_dec, and
V = mean_b ||y - mean y||^2. In the source both terms are relative to a variance and c = 1/32; here the first keeps the
units of the data, so the second is given them: without V the weight of AuxK would depend on their scale.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from husai.saes.architecture import Batch, Terms
from husai.saes.codes import SparseCodes
from husai.saes.config import AuxKConfig
from husai.saes.parameters import Parameters, squared_error
from husai.saes.select import largest


def keep_largest(positive_BF: Tensor, k: int) -> SparseCodes:
    """The k largest of each row, which must not be negative."""
    indices = largest(positive_BF, k)
    return SparseCodes(positive_BF.gather(-1, indices), indices, positive_BF.shape[-1])


def keep_positive(pre_BF: Tensor, k: int) -> SparseCodes:
    """The k largest of relu(pre) of each row."""
    return keep_largest(pre_BF.relu(), k)


def aux_term(
    config: AuxKConfig,
    p: Parameters,
    batch: Batch,
    pre_BF: Tensor,
    y_hat_BO: Tensor,
    keep: Callable[[Tensor, int], SparseCodes] = keep_positive,
) -> Terms:
    """`aux`, when some latents are dead and `aux_k > 0`; else nothing. `keep` says which dead latents are the best."""
    if not config.aux_k or not bool(batch.dead_F.any()):
        return {}
    residual_BO = (batch.y_BO - y_hat_BO).detach()
    k = min(config.aux_k, int(batch.dead_F.sum()))
    codes = keep(pre_BF.masked_fill(~batch.dead_F, 0.0), k)
    left = squared_error(residual_BO, codes.dense() @ p["W_dec"])
    variance = squared_error(residual_BO, residual_BO.mean(0, keepdim=True))
    return {"aux": config.aux_coefficient * batch.variance * left / variance.clamp_min(1e-12)}
