"""Input scaling put into the parameters: an SAE of scaled rows becomes the same SAE of rows as they were captured.

With z = (x - mean) * factor, the codes of x stay the codes of z and the reconstruction is scaled back:

    W_enc' = factor W_enc,  W_dec' = W_dec / factor,  b_dec' = b_dec / factor + mean,  b_enc' = b_enc (- W_enc' mean)

The last term only where pre-activations are taken of z and not of z - b_dec. Thresholds act on codes and stay. An
architecture with other biases names them: where `gain W_enc z + bias` is read, bias' = bias (- gain W_enc' mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from husai.saes.parameters import Parameters


def fold_core(config: Any, p: Parameters, mean_D: Tensor, factor: float | Tensor) -> Parameters:
    """Parameters for rows x, where `p` are for (x - mean) * factor; computed in float64, in the dtype given."""
    return fold_biases(config, p, mean_D, factor, {"b_enc": 1.0})


def fold_biases(
    config: Any, p: Parameters, mean_D: Tensor, factor: float | Tensor, gains: Mapping[str, Tensor | float]
) -> Parameters:
    """As `fold_core`; `gains` maps the name of each bias of pre-activations to its gain, [F] or a number."""
    W_enc_FD, mean = p["W_enc"].double() * factor, mean_D.double()
    shift_F = 0 if config.subtract_b_dec else W_enc_FD @ mean
    folded = {
        "W_enc": W_enc_FD,
        "W_dec": p["W_dec"].double() / factor,
        "b_dec": p["b_dec"].double() / factor + mean,
        **{name: p[name].double() - gain * shift_F for name, gain in gains.items()},
    }
    return p | {name: tensor.to(p[name].dtype) for name, tensor in folded.items()}
