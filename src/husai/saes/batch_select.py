"""Selection in the whole batch while training, by a threshold afterwards (2412.06410).

    training:    f = the B k largest of relu(pre) of the whole batch, ties to the lowest row, then to the lowest latent
    afterwards:  f = relu(pre) [relu(pre) > threshold]

What is selected in a batch depends on the rows beside it; a row's features must not, so the threshold alone decides
after training. It is a running mean over batches of the smallest positive value that was kept:

    n += 1;   threshold += max(1 / n, 1 - momentum) (smallest - threshold)

which is the plain mean of the first 1 / (1 - momentum) batches and an exponential one from then on. n is
`threshold_batches`; a batch that kept nothing positive does not count. At n = 0 (an untrained SAE) there is no
threshold yet: the k largest of each row are used, which needs no other row either and has the L0 that was asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.architecture import Shapes
from husai.saes.aux import keep_largest
from husai.saes.codes import Codes, DenseCodes
from husai.saes.config.selected import BatchSelectConfig
from husai.saes.parameters import Parameters, after_step_, core_shapes, initial, pre_activations
from husai.saes.select import largest

BUFFERS = ("threshold", "threshold_batches")


def kept(k: float, batch: int) -> int:
    """Codes that a batch keeps."""
    return max(1, round(k * batch))


def keep_in_batch(positive_BF: Tensor, k: float) -> DenseCodes:
    """The B k largest of a batch, which must not be negative; zeros may fill the number up and stay zeros."""
    chosen = torch.zeros_like(positive_BF, dtype=torch.bool)
    chosen.view(-1)[largest(positive_BF.reshape(1, -1), kept(k, len(positive_BF)))[0]] = True
    return DenseCodes(torch.where(chosen, positive_BF, 0.0))


def shapes(config: BatchSelectConfig, d_in: int) -> Shapes:
    """The core, `threshold` and the number of batches behind it."""
    return core_shapes(config.d_sae, d_in) | {name: () for name in BUFFERS}


def init(config: BatchSelectConfig, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """Unit Gaussian decoder rows, tied encoder by default, biases 0, no threshold yet."""
    core = initial(d_in, config.d_sae, config.tied_init, generator)
    return core | {name: torch.zeros(()) for name in BUFFERS}


def encode(config: BatchSelectConfig, p: Parameters, x_BD: Tensor) -> Codes:
    """Values above the threshold; before there is one, the k largest of each row."""
    z_BF = pre_activations(p, x_BD, config.subtract_b_dec).relu()
    if not p["threshold_batches"]:
        return keep_largest(z_BF, max(1, round(config.k)))
    return DenseCodes(z_BF * (z_BF > p["threshold"]))


def follow_(config: BatchSelectConfig, p: Parameters, codes: Codes) -> None:
    """Decoder norms, and the threshold moved towards the smallest positive value of the step's codes."""
    after_step_(config.decoder_norm, p)
    values_BF = codes.dense().detach()
    if not (values_BF > 0).any():
        return
    p["threshold_batches"] += 1
    weight = max(1 / float(p["threshold_batches"]), 1 - config.threshold_momentum)
    p["threshold"] += weight * (values_BF[values_BF > 0].min() - p["threshold"])
