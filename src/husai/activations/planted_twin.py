"""A planted twin of some rows: as many, as wide, with the same mean and covariance, and a dictionary that is known.

    y_n = sum over n_active features of coefficient * direction,      x_n = (y_n - mean y) C_y^(-1/2) C_x^(1/2) + mean x

A linear map keeps what is planted: the true directions are those that it makes of the drawn ones. What a procedure
finds on the twin can be held against the number of features that is really active in it.
"""

from __future__ import annotations

import numpy as np

from husai.activations.surrogates import symmetric_root
from husai.errors import UserError
from husai.seeds import Role, derive
from husai.tasks.planted import Planted, PlantedConfig, combine, draw_codes, draw_dictionary

LEAST = 1e-10  # of the largest variance: smaller ones are rounding, and are not divided by


def planted_twin(
    mean_D: np.ndarray, covariance_DD: np.ndarray, n: int, n_features: int, n_active: int, seed: int, draw: int = 0
) -> Planted:
    """Rows [n, D] with `n_active` of `n_features` planted features in each, and the mean and covariance given.

    Where the planted rows span fewer directions than the data (n_features below D), only those can have its variance.

    Raises:
        UserError: not a covariance, or more active features than there are.
    """
    mean, root_DD = np.asarray(mean_D, dtype=np.float64), symmetric_root(covariance_DD)
    if n_active > n_features:
        raise UserError(f"a planted twin has {n_features} features: {n_active} of them cannot be active")
    own = derive(seed, Role.PLANTED_DICTIONARY, "twin", draw) % 2**31
    config = PlantedConfig(d_in=len(mean), n_features=n_features, n_active=n_active, n_rows=n, seed=own)
    drawn_FD = draw_dictionary(config)
    indices_NK, values_NK = draw_codes(config)
    y_ND = combine(drawn_FD, indices_NK, values_NK).astype(np.float64)
    centre_D = y_ND.mean(axis=0)
    map_DD = _inverse_root((y_ND - centre_D).T @ (y_ND - centre_D) / n) @ root_DD
    x_ND = ((y_ND - centre_D) @ map_DD + mean).astype(np.float32)
    return _as_planted(x_ND, drawn_FD @ map_DD, indices_NK, values_NK)


def _inverse_root(covariance_DD: np.ndarray) -> np.ndarray:
    """Symmetric inverse square root on the directions that vary."""
    values, vectors = np.linalg.eigh(covariance_DD)
    kept = values > LEAST * values.max()
    return (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T


def _as_planted(x_ND: np.ndarray, directions_FD: np.ndarray, indices_NK: np.ndarray, values_NK: np.ndarray) -> Planted:
    """Unit directions; their lengths go into the coefficients."""
    length_F = np.linalg.norm(directions_FD, axis=1)
    unit_FD = (directions_FD / np.maximum(length_F, 1e-12)[:, None]).astype(np.float32)
    return Planted(x_ND, unit_FD, indices_NK, (values_NK * length_F[indices_NK]).astype(np.float32))
