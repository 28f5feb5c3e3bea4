"""Centre rows and scale them to a mean square norm of D: an explicit object that is stored with the SAE.

One scaling belongs to one hook. An SAE over several layers with one common scale would spend itself on the layer with
the largest norm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from husai.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from husai.activations.cache import ActivationCache

Array = TypeVar("Array", np.ndarray, "Tensor")


@dataclass(frozen=True, eq=False)
class Scaling:
    """`y = (x - mean_D) * factor`. Rows then have mean 0 and mean square norm D (a root mean square norm of sqrt(D)).

    Explained variance does not change: both of its sums are multiplied by factor^2. Where a row holds the columns of
    several hooks side by side, `factor` [D] has each hook's own in its columns.
    """

    mean_D: np.ndarray
    factor: float | np.ndarray
    hook_name: str = ""

    def __post_init__(self) -> None:
        """Keep mean and factor in float32, so that every user of them computes with the same numbers.

        Raises:
            UserError: a factor that is not a positive number.
        """
        object.__setattr__(self, "mean_D", np.asarray(self.mean_D, dtype=np.float32))
        factor = np.asarray(self.factor, dtype=np.float32)
        if not (np.isfinite(factor).all() and (factor > 0).all()):
            raise UserError(f"scaling factor {self.factor} is not a positive number: are the activations constant?")
        object.__setattr__(self, "factor", factor if factor.ndim else float(factor))

    @classmethod
    def identity(cls, d_in: int) -> Scaling:
        """Leaves rows as they are."""
        return cls(np.zeros(d_in), 1.0)

    @classmethod
    def fit(cls, rows_ND: np.ndarray, hook_name: str = "") -> Scaling:
        """From rows in memory.

        Raises:
            UserError: constant rows.
        """
        wide = np.asarray(rows_ND, dtype=np.float64)
        mean_D = wide.mean(axis=0)
        return cls.from_variance(mean_D, float(((wide - mean_D) ** 2).sum(axis=1).mean()), hook_name)

    @classmethod
    def of(cls, cache: ActivationCache) -> Scaling:
        """From the statistics of a cache."""
        manifest = cache.manifest
        if len(manifest.widths) == 1:
            return cls.from_variance(cache.mean_D, manifest.variance, manifest.origin.hook_name)
        factors = np.sqrt(np.array(manifest.widths) / manifest.hook_variances)
        return cls(cache.mean_D, np.repeat(factors, manifest.widths), manifest.origin.hook_name)

    @classmethod
    def from_variance(cls, mean_D: np.ndarray, variance: float, hook_name: str = "") -> Scaling:
        """From the mean row [D] and the mean of ||x - mean||^2.

        Raises:
            UserError: no variance.
        """
        if not variance > 0:
            raise UserError("the activations have no variance: there is nothing to scale")
        return cls(mean_D, math.sqrt(len(mean_D) / variance), hook_name)

    def apply(self, x: Array) -> Array:
        """Scaled copy of rows [..., D]; the same bits for NumPy and torch, in any batch."""
        if isinstance(x, np.ndarray):
            return (x - self.mean_D) * np.float32(self.factor)
        return (x - self._like(x, self.mean_D)) * self._like(x, self.factor)

    def apply_(self, x: np.ndarray) -> np.ndarray:
        """`apply`, written over the rows [..., D] float32 that were given: the same bits without a second copy."""
        np.subtract(x, self.mean_D, out=x)
        return np.multiply(x, np.float32(self.factor), out=x)

    def undo(self, y: Array) -> Array:
        """Inverse of `apply`, up to rounding."""
        if isinstance(y, np.ndarray):
            return y / np.float32(self.factor) + self.mean_D
        return y / self._like(y, self.factor) + self._like(y, self.mean_D)

    def _like(self, x: Tensor, numbers: float | np.ndarray) -> Tensor:
        import torch

        return torch.tensor(numbers).to(x)
