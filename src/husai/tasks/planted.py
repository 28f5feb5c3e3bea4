"""Data with a known dictionary: every row is a sparse combination of planted unit directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from husai.config import Config
from husai.seeds import Role, generator
from husai.store.tensors import array_hash

CHUNK = 4096  # rows per draw: bounds memory, and is fixed because it decides which draw goes to which row


@dataclass(frozen=True, eq=False)
class Planted:
    """Rows and the truth behind them. Arrays are read-only.

    `x_ND` float32 = sum over k of `values_NK[n, k] * dictionary_FD[indices_NK[n, k]]`; `dictionary_FD` float32 has
    unit rows; `indices_NK` int64 are different features within a row, ascending; `values_NK` float32 > 0. A row with
    fewer than K active features ends in places of index 0 and value 0, which stand for nothing.
    """

    x_ND: np.ndarray
    dictionary_FD: np.ndarray
    indices_NK: np.ndarray
    values_NK: np.ndarray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in ("x_ND", "dictionary_FD", "indices_NK", "values_NK"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def active_NK(self) -> np.ndarray:
        """Whether a place holds a feature [N, K]."""
        return self.values_NK > 0

    @property
    def true_l0(self) -> float:
        """Active features per row, mean over the rows."""
        return float(self.active_NK.sum(1).mean())

    @property
    def frequency_F(self) -> np.ndarray:
        """Share of the rows in which each feature is active [F], float64."""
        return np.bincount(self.indices_NK[self.active_NK], minlength=len(self.dictionary_FD)) / len(self.x_ND)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of rows, dictionary and codes; equal in every process."""
        names = ("x_ND", "dictionary_FD", "indices_NK", "values_NK")
        return array_hash({name: getattr(self, name) for name in names})


class PlantedConfig(Config):
    """Planted data: `n_active` of `n_features` per row, each with equal chance, coefficients abs(N(0, 1)).

    Dictionary rows are Gaussian directions of unit norm (the set-up of arXiv 2505.20254).
    """

    kind: Literal["planted"] = "planted"
    d_in: int = Field(default=128, ge=1)
    n_features: int = Field(default=256, ge=1)
    n_active: int = Field(default=4, ge=1)
    n_rows: int = Field(default=12_769, ge=2)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _enough_features(self) -> Self:
        if self.n_active > self.n_features:
            raise ValueError(f"n_active ({self.n_active}) cannot exceed n_features ({self.n_features})")
        return self

    @property
    def true_l0(self) -> float:
        """Features per row."""
        return float(self.n_active)

    def describe(self) -> str:
        """One sentence."""
        return f"planted rows: {self.n_active} of {self.n_features} known features active in {self.d_in} dimensions"

    def build(self) -> Planted:
        """Draw dictionary and codes, each from its own stream; neither is ever the stream of a model or an SAE."""
        dictionary_FD = draw_dictionary(self)
        indices_NK, values_NK = draw_codes(self)
        return Planted(combine(dictionary_FD, indices_NK, values_NK), dictionary_FD, indices_NK, values_NK)


def draw_dictionary(config: PlantedConfig) -> np.ndarray:
    """Unit rows [F, D], float32."""
    rng = generator(config.seed, Role.PLANTED_DICTIONARY)
    rows_FD = rng.standard_normal((config.n_features, config.d_in))
    return (rows_FD / np.linalg.norm(rows_FD, axis=1, keepdims=True)).astype(np.float32)


def draw_codes(config: PlantedConfig) -> tuple[np.ndarray, np.ndarray]:
    """Active features [N, K] (int64, ascending) and their coefficients [N, K] (float32)."""
    rng = generator(config.seed, Role.PLANTED_CODES)
    indices, values = [], []
    for start in range(0, config.n_rows, CHUNK):
        size = min(CHUNK, config.n_rows - start)
        indices.append(_active(config, rng, size))
        values.append(np.abs(rng.standard_normal((size, config.n_active))).astype(np.float32))
    return np.concatenate(indices), np.concatenate(values)


def _active(config: PlantedConfig, rng: np.random.Generator, rows: int) -> np.ndarray:
    """[rows, K] different features per row, each set of K equally likely: the K smallest of F uniform keys."""
    keys_NF = rng.random((rows, config.n_features))
    chosen_NK = np.argpartition(keys_NF, config.n_active - 1, axis=1)[:, : config.n_active]
    return np.sort(chosen_NK, axis=1).astype(np.int64)


def combine(dictionary_FD: np.ndarray, indices_NK: np.ndarray, values_NK: np.ndarray) -> np.ndarray:
    """Rows [N, D] float32 from codes; summed in float64, feature by feature, so that no library decides the bits."""
    x_ND = np.zeros((len(indices_NK), dictionary_FD.shape[1]))
    for k in range(indices_NK.shape[1]):
        x_ND += values_NK[:, k, None].astype(np.float64) * dictionary_FD[indices_NK[:, k]]
    return x_ND.astype(np.float32)
