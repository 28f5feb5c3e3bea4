"""What `encode` returns: sparse or dense codes; both decode to the same thing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseCodes:
    """`K` active latents per row: values [B, K] and their indices [B, K]; `d_sae` latents in all."""

    values_BK: Tensor
    indices_BK: Tensor
    d_sae: int

    def dense(self) -> Tensor:
        """[B, F]; differentiable in the values."""
        empty = self.values_BK.new_zeros(*self.values_BK.shape[:-1], self.d_sae)
        return empty.scatter(-1, self.indices_BK, self.values_BK)

    def fired(self) -> Tensor:
        """[F] bool: latents with a non-zero code in some row."""
        counts = torch.zeros(self.d_sae, dtype=torch.int64)
        return counts.index_add_(0, self.indices_BK.flatten(), (self.values_BK != 0).flatten().long()) > 0


@dataclass(frozen=True)
class DenseCodes:
    """Codes [B, F] of an architecture without a fixed number of active latents."""

    values_BF: Tensor

    def dense(self) -> Tensor:
        """[B, F]."""
        return self.values_BF

    def fired(self) -> Tensor:
        """[F] bool: latents with a non-zero code in some row."""
        return (self.values_BF != 0).any(0)


Codes = SparseCodes | DenseCodes


def decode(codes: Codes, W_dec_FO: Tensor, b_dec_O: Tensor) -> Tensor:
    """Reconstruction [B, O] = codes W_dec + b_dec."""
    return torch.addmm(b_dec_O, codes.dense(), W_dec_FO)
