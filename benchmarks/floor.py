"""What no TopK step can do without: one product of the rows with the encoder, in its best layout and format."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.sizes import Size
from benchmarks.timing import Timed, warm_up

FINALISTS = 3


def encoder_products(size: Size, x_BD: Tensor, device: str) -> list[Timed]:
    """The fastest few of the layouts and formats, as tools to be timed beside the others; results go to a buffer.

    All are tried once; the least median of the finalists is the floor.
    """
    tools = [Timed(name, step) for name, step in _products(size, x_BD).items()]
    seconds = [min(warm_up(tool, 1, device), tool.run(1, device)) for tool in tools]
    order = sorted(range(len(tools)), key=seconds.__getitem__)
    return [tools[i] for i in order[:FINALISTS]]


def _products(size: Size, x_BD: Tensor) -> dict[str, Callable[[int], None]]:
    found: dict[str, Callable[[int], None]] = {}
    for dtype in (torch.bfloat16, torch.float32):
        x = x_BD.to(dtype)
        W_FD = (torch.randn(size.d_sae, size.d_in, device=x.device) / size.d_in**0.5).to(dtype)
        name, x_DB, W_DF = f"encoder product {dtype}".replace("torch.", ""), x.T.contiguous(), W_FD.T.contiguous()
        found[f"{name} x[B,D] W[F,D]^T"] = _product(x, W_FD.T)
        found[f"{name} x[B,D] W[D,F]"] = _product(x, W_DF)
        found[f"{name} W[F,D] x[B,D]^T"] = _product(W_FD, x.T)
        found[f"{name} W[F,D] x[D,B]"] = _product(W_FD, x_DB)
    return found


def _product(left: Tensor, right: Tensor) -> Callable[[int], None]:
    out = left.new_empty(left.shape[0], right.shape[1])

    def step(index: int) -> None:
        torch.mm(left, right, out=out)

    return step
