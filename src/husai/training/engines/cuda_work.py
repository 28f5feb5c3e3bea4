"""Room on the device for one seed's step: buffers of fixed place and shape, so that a step can be replayed."""

from __future__ import annotations

import torch
from torch import Tensor

from husai.saes.config import TopKConfig
from husai.training.engines.cuda_state import BIAS_PARTS, wide
from husai.training.engines.triton_kernels.lists import window_of
from husai.training.engines.triton_kernels.screening import Candidates

TILE_BYTES = 40_000_000  # pre-activations of a tile of rows stay within the 50 MB cache of the devices this is made for
LEAST_TILE = 128


def tile_rows(d_sae: int, itemsize: int, batch: int) -> int:
    """Rows whose product is formed at a time: a power of two, or all."""
    fitting = max(LEAST_TILE, TILE_BYTES // (d_sae * itemsize))
    return min(batch, 1 << (fitting.bit_length() - 1))


class Group:
    """Codes of a batch, the active latents' or the dead ones', and what they leave: all that gradients need.

    Residual and `seen` (the residual's product with the latents) are weighted as the group's loss term is.
    """

    def __init__(self, work: Workspace, k: int) -> None:
        B, D, sums, kept, device = work.batch, work.d_in, work.sums, work.kept, work.device
        self.k = k
        self.index_BK = torch.zeros(B, k, dtype=torch.int32, device=device)
        self.value_BK, self.seen_BK = (torch.zeros(B, k, dtype=sums, device=device) for _ in range(2))
        self.residual_BO = torch.zeros(B, D, dtype=kept, device=device)
        self.error_B = torch.zeros(B, dtype=sums, device=device)
        self.candidates = Candidates(B, k, kept, device)
        self._windows: tuple[Tensor, Tensor] | None = None
        self._room = (max(1, B * k // window_of(B * k)), D)

    @property
    def windows(self) -> tuple[Tensor, Tensor]:
        """Room for sums over windows of the lists; only who takes the sparse path needs it."""
        if self._windows is None:
            first, second = (self.error_B.new_zeros(self._room) for _ in range(2))
            self._windows = (first, second)
        return self._windows

    def drop(self) -> None:
        """Give that room back."""
        self._windows = None


class Workspace:
    """What one step of one seed works in; seeds take turns in it.

    Args:
        sums: float type of sums, codes and weights.
        kept: float type of what is multiplied and gathered.
    """

    def __init__(
        self, config: TopKConfig, batch: int, d_in: int, sums: torch.dtype, kept: torch.dtype, device: torch.device
    ) -> None:
        self.config, self.batch, self.d_in = config, batch, d_in
        self.sums, self.kept, self.device = sums, kept, device
        self.x_BX = torch.zeros(batch, wide(d_in), dtype=kept, device=device)
        self.x_BX[:, d_in : d_in + BIAS_PARTS] = 1
        self.tile = tile_rows(config.d_sae, kept.itemsize, batch)
        self.product_TF = torch.zeros(self.tile, config.d_sae, dtype=kept, device=device)
        self.bias_g_F = torch.zeros(config.d_sae, dtype=sums, device=device)
        self.pull_D = torch.zeros(d_in, dtype=sums, device=device)
        self.one = torch.ones((), dtype=sums, device=device)
        self.main = Group(self, config.k)
        self._aux: Group | None = None
        self._dense_BF: Tensor | None = None

    @property
    def aux(self) -> Group:
        """Codes of dead latents; room is made when they are first needed."""
        if self._aux is None:
            self._aux = Group(self, min(self.config.aux_k, self.config.d_sae))
        return self._aux

    @property
    def dense_BF(self) -> Tensor:
        """Room for a dense matrix of codes; only who takes the dense path needs it."""
        if self._dense_BF is None:
            self._dense_BF = torch.zeros(self.batch, self.config.d_sae, dtype=self.kept, device=self.device)
        return self._dense_BF

    def drop(self) -> None:
        """Give back what only the paths that were not chosen need; who needs it after all makes it anew."""
        self._dense_BF = None
        for group in (self.main, self._aux):
            if group is not None:
                group.drop()
