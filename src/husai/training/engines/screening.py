"""The one dense product of a step, as a screen: which latents may be among the k largest of a row.

In bfloat16 where the processor multiplies it, else in the float type of the weights. The margin is six standard
deviations of the rounding error, so that what exact products select afterwards is what float32 would have selected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from husai.training.engines.kernels.experts import close_latents
from husai.training.engines.kernels.rounding import ROWS_PER_BLOCK, round_bias, round_rows
from husai.training.engines.kernels.screen import reach_plain, reach_rounded, screen_plain, screen_rounded

OUTPUT_ERROR = np.float32(1.01 * 2.0**-8)  # half a unit in the last place of bfloat16, relative
MINUS_INFINITY = np.int16(-0x0080)  # the bits of bfloat16
TILE_BYTES, SMALLEST_TILE, LARGEST_TILE = 2**23, 256, 1024  # of rows whose pre-activations stay in the last cache
GROUPS_PER_CHOSEN, LARGEST_GROUP, LANES = 8, 16, 128


def tile_rows(d_sae: int) -> int:
    """Rows that are coded at a time."""
    fitting = TILE_BYTES // (2 * d_sae) // ROWS_PER_BLOCK * ROWS_PER_BLOCK
    return max(SMALLEST_TILE, min(fitting, LARGEST_TILE))


@cache
def multiplies_bfloat16() -> bool:
    """Whether this processor has bfloat16 dot products."""
    from llvmlite.binding import get_host_cpu_features

    features = get_host_cpu_features()
    return any(features.get(name, False) for name in ("avx512bf16", "amx-bf16", "bf16"))


class Rounded:
    """Rows [N, D] in bfloat16, and sqrt(sum x^4), sqrt(sum dx^4) of each."""

    def __init__(self, rows: int, width: int) -> None:
        self.bits_ND = np.zeros((rows, width), np.int16)
        self.size_N, self.error_N = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
        self.tensor_ND = torch.from_numpy(self.bits_ND).view(torch.bfloat16)

    def fill(self, x_ND: np.ndarray, first: int, last: int) -> None:
        """Round rows `first` to `last` of x."""
        part, back = x_ND[first:last], np.empty(x_ND.shape[1], np.float32)
        out, size, error = self.bits_ND[first:last], self.size_N[first:last], self.error_N[first:last]
        round_rows(part, part.view(np.uint32), back, back.view(np.uint32), out, size, error)

    def subset(self, chosen_M: np.ndarray) -> Rounded:
        """A copy of some rows."""
        made = Rounded(0, self.bits_ND.shape[1])
        made.bits_ND, made.size_N, made.error_N = self.bits_ND[chosen_M], self.size_N[chosen_M], self.error_N[chosen_M]
        made.tensor_ND = torch.from_numpy(made.bits_ND).view(torch.bfloat16)
        return made


@dataclass
class Found:
    """Room for one lane's candidates of a tile: numbers [T, C], counts [T]; and for the products [T, F] behind them."""

    group: int
    number_TC: np.ndarray
    count_T: np.ndarray
    product_TF: torch.Tensor
    maxima_CL: np.ndarray
    groups_N: np.ndarray
    sorted_N: np.ndarray
    value: np.ndarray

    @classmethod
    def room(
        cls, tile: int, d_sae: int, k: int, dtype: np.dtype, rounded: bool, open_to_row: int = 0, most: int = 0
    ) -> Found:
        """Room for candidates of `tile` rows among `d_sae` latents of which `k` are chosen.

        `open_to_row`: where a row chooses among fewer. `most`: where candidates need more room than usual.
        """
        group = max(1, min(LARGEST_GROUP, (open_to_row or d_sae) // (GROUPS_PER_CHOSEN * k)))
        lanes = min(LANES, -(-d_sae // group))
        chunks = -(-d_sae // (group * lanes))
        maxima = np.zeros((chunks, lanes), np.int16 if rounded else dtype)
        product = torch.zeros(tile, d_sae, dtype=torch.bfloat16 if rounded else torch.from_numpy(maxima).dtype)
        number = np.zeros((tile, (most or min(d_sae, 4 * k + 64)) + group), np.int32)
        groups = np.zeros(maxima.size + 1, np.int32)
        ordered, value = np.zeros(maxima.size, maxima.dtype), np.zeros(1, np.float32)
        return cls(group, number, np.zeros(tile, np.int32), product, maxima, groups, ordered, value)


class Screen:
    """Encoder weights [F, D] and biases [F] of one seed, ready for the product."""

    def __init__(self, W_enc_FD: np.ndarray, b_enc_F: np.ndarray, rounded: Rounded | None) -> None:
        self.W_enc_FD, self.b_enc_F, self.rounded = W_enc_FD, np.ascontiguousarray(b_enc_F), rounded
        bits, self._back = np.zeros(len(b_enc_F), np.int16), np.zeros(len(b_enc_F), np.float32)
        self._bias = torch.from_numpy(bits).view(torch.bfloat16) if rounded else torch.from_numpy(self.b_enc_F)
        self._bits = bits
        self.ready()

    def ready(self) -> None:
        """To be called when weights and biases have changed (and `rounded` was filled again)."""
        if self.rounded is None:
            eps, width = np.finfo(self.W_enc_FD.dtype).eps, self.W_enc_FD.shape[1]
            norms = np.sqrt(np.einsum("fd,fd->f", self.W_enc_FD, self.W_enc_FD))
            self._error = width * eps * norms.max(initial=0)
            return
        b, back = self.b_enc_F, self._back
        size, error = self.rounded.size_N, self.rounded.error_N
        self._weights = round_bias(b, b.view(np.uint32), back, back.view(np.uint32), self._bits, size, error)

    def candidates(
        self,
        x_BD: np.ndarray,
        square_B: np.ndarray,
        rows: Rounded | None,
        k: int,
        into: Found,
        signed: bool = False,
        chosen_BE: np.ndarray | None = None,
    ) -> None:
        """Latents that may be among the k largest of each row (by absolute value, if signed); count -1: all may be.

        Where a row has chosen experts, among their latents.
        """
        n = len(x_BD)
        number, count, product = into.number_TC[:n], into.count_T[:n], self._product(x_BD, rows, into)
        if signed:
            product.abs_()
        if rows is None:
            if chosen_BE is not None:
                close_latents(product.numpy(), chosen_BE, x_BD.dtype.type(-np.inf))
            screen_plain(
                product.numpy(), k, into.group, square_B, self._error, into.maxima_CL, into.groups_N,
                into.sorted_N, number, count,
            )  # fmt: skip
            return
        if chosen_BE is not None:
            close_latents(product.view(torch.int16).numpy(), chosen_BE, MINUS_INFINITY)
        bounds = rows.size_N[:n], rows.error_N[:n]
        screen_rounded(
            product.view(torch.int16).numpy(), k, into.group, bounds, self._weights, OUTPUT_ERROR, into.maxima_CL,
            into.groups_N, (into.value, into.value.view(np.uint32)), number, count,
        )  # fmt: skip

    def reaching(
        self, x_BD: np.ndarray, square_B: np.ndarray, rows: Rounded | None, reach: np.floating, into: Found
    ) -> None:
        """Latents that may not be below `reach`, which is 0 or more; count -1: all may be."""
        n = len(x_BD)
        number, count, product = into.number_TC[:n], into.count_T[:n], self._product(x_BD, rows, into)
        if rows is None:
            reach_plain(
                product.numpy(), reach, into.group, square_B, self._error, into.maxima_CL, into.groups_N, number, count
            )
            return
        bounds = rows.size_N[:n], rows.error_N[:n]
        reach_rounded(
            product.view(torch.int16).numpy(), reach, into.group, bounds, self._weights, OUTPUT_ERROR, into.maxima_CL,
            into.groups_N, (into.value, into.value.view(np.uint32)), number, count,
        )  # fmt: skip

    def _product(self, x_BD: np.ndarray, rows: Rounded | None, into: Found) -> torch.Tensor:
        """Pre-activations; `rows` are the same rows in bfloat16, where they are to be multiplied."""
        product = into.product_TF[: len(x_BD)]
        if self.rounded is None or rows is None:
            return torch.addmm(self._bias, torch.from_numpy(x_BD), torch.from_numpy(self.W_enc_FD).T, out=product)
        return torch.addmm(self._bias, rows.tensor_ND[: len(x_BD)], self.rounded.tensor_ND.T, out=product)
