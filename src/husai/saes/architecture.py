"""What every architecture offers: how it starts, encodes and decodes, its loss terms, and what follows a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from husai.saes.codes import Codes, decode
from husai.saes.folding import fold_core
from husai.saes.parameters import Parameters, after_step_, core_shapes, initial, squared_error

C = TypeVar("C")
Terms = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Batch:
    """What a loss is computed on: rows that are encoded, what they are to give, and latents that count as dead.

    x_BD and y_BO (x itself where an SAE reconstructs what it reads), scaled; dead_F bool; labels_B int64, -1 where a
    row has none, and only where a head reads them.
    """

    x_BD: Tensor
    y_BO: Tensor
    dead_F: Tensor
    labels_B: Tensor | None = None

    @staticmethod
    def of(x_BD: Tensor, dead_F: Tensor) -> Batch:
        """Rows that are to give themselves."""
        return Batch(x_BD, x_BD, dead_F)

    @property
    def variance(self) -> Tensor:
        """Mean squared distance of y from its mean: what penalties are relative to."""
        return squared_error(self.y_BO, self.y_BO.mean(0, keepdim=True))


def one_hook(config: Any, rows_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Rows are to give themselves."""
    return rows_BD, rows_BD


def linear_decode(config: Any, p: Parameters, codes: Codes, x_BD: Tensor) -> Tensor:
    """Reconstruction [B, O] = codes W_dec + b_dec, whatever was read."""
    return decode(codes, p["W_dec"], p["b_dec"])


def _core(config: Any, d_in: int) -> Shapes:
    return core_shapes(config.d_sae, d_in)


def _start(config: Any, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    return initial(d_in, config.d_sae, config.tied_init, generator)


def _keep_norm_(config: Any, p: Parameters, codes: Codes) -> None:
    after_step_(config.decoder_norm, p)


@dataclass(frozen=True)
class Architecture(Generic[C]):
    """One architecture as a value; its functions take the parameters of one seed, only those named `..._` change them.

    Args:
        summary: one line, for listings.
        source: paper or page with the definition.
        sparse: whether its codes hold a bounded number of latents per row, so that sparse kernels pay.
        knob: the field of the config that moves L0; empty where nothing does.
        encode: `(config, p, x [B, D])` to the codes, as they are used after training.
        objective: `(config, p, batch)` to named loss terms, already weighted, whose sum is minimised, and the codes
            they were computed from. Each term is logged apart; none may be counted twice.
        shapes: `(config, width)` to the shape of each parameter of one seed, for rows of that width.
        init: `(config, width, generator, rows)` to the parameters at step 0; `rows` [N, D] are scaled rows of this
            seed alone where `needs_rows` says that it starts from them, else None.
        split: `(config, rows)` to what of rows [..., W] is encoded [..., D] and what is reconstructed [..., O]: columns
            of their own where an SAE reads several hooks, whose activations lie side by side in a row.
        decode: `(config, p, codes, x)` to the reconstruction [B, O].
        after_step_: `(config, p, codes)`: what is enforced or counted after each optimiser step, in place.
        fold: `(config, p, mean, factor)` to the parameters of the same SAE on rows x where `p` reads
            (x - mean) * factor.
        target: `(config, p, x)` to what of scaled rows is reconstructed, where this is more than a choice of columns;
            it is then judged in scaled units.
        buffers: parameters that no gradient moves.
        context: buffers that are not drawn but come with the rows, the same for every seed.
        trained: whether there is anything to train; a baseline that is not stays as it starts.
        per_latent: parameters with a row for each latent [F, ...] that together make it what it is; empty where what a
            latent reads or writes is not its own.
    """

    summary: str
    source: str
    sparse: bool
    encode: Callable[[C, Parameters, Tensor], Codes]
    objective: Callable[[C, Parameters, Batch], tuple[Terms, Codes]]
    knob: str = ""
    shapes: Callable[[C, int], Shapes] = _core
    init: Callable[[C, int, torch.Generator, Tensor | None], Parameters] = _start
    split: Callable[[C, Tensor], tuple[Tensor, Tensor]] = one_hook
    decode: Callable[[C, Parameters, Codes, Tensor], Tensor] = linear_decode
    after_step_: Callable[[C, Parameters, Codes], None] = _keep_norm_
    fold: Callable[[C, Parameters, Tensor, float | Tensor], Parameters] = fold_core
    target: Callable[[C, Parameters, Tensor], Tensor] | None = None
    buffers: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    needs_rows: bool = False
    trained: bool = True
    per_latent: tuple[str, ...] = ("W_enc", "b_enc", "W_dec")
