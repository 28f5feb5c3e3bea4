"""Planted data that is harder: few features fire often, some need another to fire, groups fire together.

Feature f (0 is the most frequent) fires in a share p_f of the rows, `p_f = min(most, c (f + 1)^-zipf)`, c such that the
p_f sum to `mean_active`; how many fire differs from row to row. Features are *roots* or *children*. Roots follow a
Gaussian copula: f fires where `z_f > Phi^-1(1 - p_f)`, z normal with the correlations of `latent_correlation`. A child
fires only where its parent, a root at least twice as frequent, does, and there with chance p_child / p_parent, whatever
else fires: so p_f holds for all. Its direction has cosine `child_cosine` with its parent's.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from husai.config import Config
from husai.seeds import Role, generator
from husai.tasks.planted import CHUNK, Planted, combine

ROOT = -1  # in the place of a parent
RARER = 2.0  # how many times as often as its child a parent fires, at least
SPREAD = 0.15  # of coefficients `near_one`


class StructuredConfig(Config):
    """Planted data with frequencies by Zipf's law, a hierarchy of depth one, correlated roots and a varying L0.

    `correlated` says how z of the roots are correlated: in `blocks`, `correlation` within each of `n_factors` groups of
    roots and 0 between them; `low_rank`, `correlation u_f . u_g` with random unit vectors u of `n_factors` dimensions,
    of both signs. Coefficients: abs(N(0, 1)), exponential of mean 1, or abs(N(1, .15)).
    """

    kind: Literal["structured"] = "structured"
    d_in: int = Field(default=96, ge=1)
    n_features: int = Field(default=1024, ge=1)
    mean_active: float = Field(default=9.0, gt=0, description="features per row, in expectation")
    zipf: float = Field(default=1.0, ge=0, description="exponent of frequency over rank; 0 is the same for all")
    most: float = Field(default=0.5, gt=0, lt=1, description="no feature fires in a larger share of the rows")
    children: float = Field(default=0.25, ge=0, lt=1, description="share of the features that have a parent")
    child_cosine: float = Field(default=0.5, ge=-1, le=1)
    correlated: Literal["blocks", "low_rank"] = "blocks"
    correlation: float = Field(default=0.3, ge=0, lt=1)
    n_factors: int = Field(default=32, ge=1)
    coefficients: Literal["half_normal", "exponential", "near_one"] = "half_normal"
    n_rows: int = Field(default=50_000, ge=2)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.mean_active > self.most * self.n_features:
            raise ValueError(
                f"{self.n_features} features that fire in at most {self.most:g} of the rows cannot give mean_active "
                f"{self.mean_active:g}: raise most or n_features"
            )
        able = int(_able(frequencies(self)).sum())
        if self.n_children > able:
            raise ValueError(
                f"only {able} of {self.n_features} features are at most half as frequent as the most frequent one, as "
                f"children must be: children can be at most {able / self.n_features:.3g} (or raise zipf)"
            )
        if self.n_children and self.d_in == 1:
            raise ValueError("in one dimension no child has another direction than its parent: children must be 0")
        return self

    @property
    def n_children(self) -> int:
        """Features that have a parent."""
        return round(self.children * self.n_features)

    @property
    def true_l0(self) -> float:
        """Features per row, in expectation."""
        return self.mean_active

    def describe(self) -> str:
        """One sentence."""
        law = f"frequencies by Zipf's law (exponent {self.zipf:g})"
        kin = f"{self.n_children} need a parent to be active"
        return (
            f"planted rows: {self.mean_active:g} on average of {self.n_features} known features active in {self.d_in} "
            f"dimensions, {law}, {kin}, the others correlated ({self.correlated.replace('_', ' ')}, "
            f"{self.correlation:g})"
        )

    def build(self) -> Planted:
        """Draw who depends on whom, directions and codes, each from its own stream, none of a model or an SAE."""
        made = structure(self)
        dictionary_FD = draw_dictionary(self, made)
        indices_NK, values_NK = draw_codes(self, made)
        return Planted(combine(dictionary_FD, indices_NK, values_NK), dictionary_FD, indices_NK, values_NK)


@dataclass(frozen=True, eq=False)
class Structure:
    """Who depends on whom. `parent_F` is -1 for roots; children have loadings of 0.

    `loading_FR` [F, n_factors]: z of a root is `loading_f . g` and noise of its own, g the factors of the row.
    """

    frequency_F: np.ndarray
    parent_F: np.ndarray
    loading_FR: np.ndarray

    @property
    def latent_correlation_FF(self) -> np.ndarray:
        """Correlations of z between features; 0 wherever a child takes part."""
        found = self.loading_FR @ self.loading_FR.T
        np.fill_diagonal(found, 1)
        return found


def frequencies(config: StructuredConfig) -> np.ndarray:
    """Share of the rows in which each feature fires [F], the most frequent first; the sum is `mean_active`."""
    law_F = np.arange(1, config.n_features + 1, dtype=np.float64) ** -config.zipf
    for capped in range(config.n_features):
        c = (config.mean_active - capped * config.most) / law_F[capped:].sum()
        if c * law_F[capped] <= config.most:
            return np.concatenate([np.full(capped, config.most), c * law_F[capped:]])
    return np.full(config.n_features, config.most)


def _able(frequency_F: np.ndarray) -> np.ndarray:
    """Which features are rare enough to be a child of the most frequent one, which is always a root."""
    return frequency_F * RARER <= frequency_F[0]


def structure(config: StructuredConfig) -> Structure:
    """Children, their parents and the groups, drawn from their own stream."""
    rng = generator(config.seed, Role.PLANTED_DICTIONARY, "structure")
    frequency_F = frequencies(config)
    children = np.sort(rng.permutation(np.flatnonzero(_able(frequency_F)))[: config.n_children])
    parent_F = np.full(config.n_features, ROOT)
    roots = np.setdiff1d(np.arange(config.n_features), children)
    for child in children:
        parent_F[child] = rng.choice(roots[frequency_F[roots] >= RARER * frequency_F[child]])
    return Structure(frequency_F, parent_F, _loadings(config, roots, rng))


def _loadings(config: StructuredConfig, roots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of squared norm `correlation` for roots: one factor each, groups of equal size, or a random direction."""
    loading_FR = np.zeros((config.n_features, config.n_factors))
    if config.correlated == "blocks":
        loading_FR[rng.permutation(roots), np.arange(len(roots)) % config.n_factors] = 1
    else:
        u = rng.standard_normal((len(roots), config.n_factors))
        loading_FR[roots] = u / np.linalg.norm(u, axis=1, keepdims=True)
    return np.sqrt(config.correlation) * loading_FR


def draw_dictionary(config: StructuredConfig, made: Structure) -> np.ndarray:
    """Unit rows [F, D], float32: random directions, of which a child's is turned towards its parent's."""
    rng = generator(config.seed, Role.PLANTED_DICTIONARY, "directions")
    rows_FD = _unit(rng.standard_normal((config.n_features, config.d_in)))
    children = np.flatnonzero(made.parent_F != ROOT)
    own, parent = rows_FD[children], rows_FD[made.parent_F[children]]
    across = _unit(own - (own * parent).sum(1, keepdims=True) * parent)
    rows_FD[children] = config.child_cosine * parent + np.sqrt(1 - config.child_cosine**2) * across
    return rows_FD.astype(np.float32)


def _unit(rows_FD: np.ndarray) -> np.ndarray:
    return rows_FD / np.linalg.norm(rows_FD, axis=1, keepdims=True)


def draw_codes(config: StructuredConfig, made: Structure) -> tuple[np.ndarray, np.ndarray]:
    """Active features [N, K] and coefficients [N, K] as in `Planted`, K the most that any row has."""
    where, values = [], []
    for start in range(0, config.n_rows, CHUNK):
        # Every chunk has a stream of its own and is drawn whole: a row does not depend on how many are wanted.
        rng = generator(config.seed, Role.PLANTED_CODES, "structured", start // CHUNK)
        active_NF = _active(made, rng)[: config.n_rows - start]
        found = np.argwhere(active_NF)
        values.append(_coefficients(config, rng)[found[:, 0], found[:, 1]].astype(np.float32))
        where.append(found + np.array([start, 0]))
    return _padded(np.concatenate(where), np.concatenate(values), config.n_rows)


def _active(made: Structure, rng: np.random.Generator) -> np.ndarray:
    """[CHUNK, F] whether each feature is active."""
    rows, features = CHUNK, len(made.frequency_F)
    factors_NR = rng.standard_normal((rows, made.loading_FR.shape[1]))
    z_NF = rng.standard_normal((rows, features)) * np.sqrt(1 - (made.loading_FR**2).sum(1))
    for r, loading_F in enumerate(made.loading_FR.T):  # no matrix product: no library decides the bits
        loaded = np.flatnonzero(loading_F)
        z_NF[:, loaded] += factors_NR[:, r, None] * loading_F[loaded]
    roots = made.parent_F == ROOT
    chance_F = made.frequency_F / np.where(roots, 1, made.frequency_F[made.parent_F])
    active_NF = z_NF > [-NormalDist().inv_cdf(p) for p in chance_F]
    active_NF[:, ~roots] &= active_NF[:, made.parent_F[~roots]]
    return active_NF


def _coefficients(config: StructuredConfig, rng: np.random.Generator) -> np.ndarray:
    """[CHUNK, F] one for every feature, active or not."""
    size = (CHUNK, config.n_features)
    if config.coefficients == "exponential":
        return rng.standard_exponential(size)
    drawn = rng.standard_normal(size)
    return np.abs(drawn if config.coefficients == "half_normal" else 1 + SPREAD * drawn)


def _padded(where_M2: np.ndarray, values_M: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of every row from the left; feature 0 with value 0 where a row has fewer than the most."""
    row_M, feature_M = where_M2.T
    counts_N = np.bincount(row_M, minlength=n_rows)
    slot_M = np.arange(len(row_M)) - np.repeat(np.cumsum(counts_N) - counts_N, counts_N)
    shape = (n_rows, max(1, int(counts_N.max())))
    indices_NK, values_NK = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.float32)
    indices_NK[row_M, slot_M], values_NK[row_M, slot_M] = feature_M, values_M
    return indices_NK, values_NK
