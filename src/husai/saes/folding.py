"""Input scaling put into the parameters: an SAE of scaled rows becomes the same SAE of rows as they were captured.

With z = (x - mean) * factor, the codes of x stay the codes of z and the reconstruction is scaled back:

    W_enc' = factor W_enc,  W_dec' = W_dec / factor,  b_dec' = b_dec / factor + mean,  b_enc' = b_enc (- W_enc' mean)

The last term only where pre-activations are taken of z and not of z - b_dec. Thresholds act on codes and stay.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from husai.saes.parameters import Parameters


def fold_core(config: Any, p: Parameters, mean_D: Tensor, factor: float | Tensor) -> Parameters:
    """Parameters for rows x, where `p` are for (x - mean) * factor; computed in float64, in the dtype given."""
    W_enc_FD, mean = p["W_enc"].double() * factor, mean_D.double()
    folded = {
        "W_enc": W_enc_FD,
        "b_enc": p["b_enc"].double() if config.subtract_b_dec else p["b_enc"].double() - W_enc_FD @ mean,
        "W_dec": p["W_dec"].double() / factor,
        "b_dec": p["b_dec"].double() / factor + mean,
    }
    return p | {name: tensor.to(p[name].dtype) for name, tensor in folded.items()}
