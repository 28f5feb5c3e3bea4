"""Linear autoencoder without sparsity (Baldi & Hornik 1989): what an SAE is without its nonlinearity.

    f = W_enc (x - b_dec) + b_enc;   x_hat = f W_dec + b_dec;   loss = mean_b ||x - x_hat||^2

Its optimum spans the first principal directions, and any invertible map of the codes undone by the decoder is as
good: single latents mean nothing, only the subspace does.
"""

from __future__ import annotations

from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.codes import DenseCodes, decode
from husai.saes.config import LinearConfig, PCAConfig
from husai.saes.parameters import Parameters, pre_activations, squared_error


def encode(config: LinearConfig | PCAConfig, p: Parameters, x_BD: Tensor) -> DenseCodes:
    """The pre-activations themselves, of either sign."""
    return DenseCodes(pre_activations(p, x_BD, config.subtract_b_dec))


def objective(config: LinearConfig | PCAConfig, p: Parameters, batch: Batch) -> tuple[Terms, DenseCodes]:
    """`mse`."""
    codes = encode(config, p, batch.x_BD)
    return {"mse": squared_error(batch.y_BO, decode(codes, p["W_dec"], p["b_dec"]))}, codes


LINEAR = Architecture(
    summary="linear, no sparsity: latents are defined up to rotation, subspace metrics only",
    source="Baldi & Hornik, Neural Networks 2(1), 1989",
    sparse=False,
    encode=encode,
    objective=objective,
)
