"""sparsify (package `eai-sparsify`; read in 1.3.3): `SparseCoder` and the optimiser, as in the loop of `Trainer.fit`.

`fit` captures activations and trains in one loop, so the part that trains is written out here line for line, with the
tool's own classes. One step: unit decoder norms, variance of the batch, forward pass (fused encoder, sparse decoder),
which latents fired, the loss read out, backward pass, projection of the decoder's gradient, optimiser, counts of rows
since a latent fired. Defaults: loss fraction of variance unexplained, AuxK off (auxk_alpha 0). Left out, in its favour:
what belongs to the capture (token mask, copies of the outputs) and to its logging.

`TrainConfig.optimizer` is "signum" by default (sign descent, schedule-free); "adam" is the other one for such losses:
both are tried. `fit` allows TF32 products process-wide; here they are allowed within its steps only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.peer import Step, why_not
from benchmarks.sizes import Size

STEPS, WARM_UP = 100_000, 1000


class Sparsify:
    """Peer `sparsify`."""

    name = "sparsify"

    def available(self) -> str:
        """Whether sparsify can be imported."""
        return why_not("sparsify", "make peers")

    def settings(self, device: str) -> tuple[str, ...]:
        """The optimisers of its `TrainConfig`, its default first; on a GPU its forward pass is autocast either way."""
        return ("signum", "adam")

    def make(self, size: Size, seed: int, device: str, setting: str) -> Step:
        """See the module."""
        if device == "cpu":  # its Triton kernel needs a GPU, and is taken wherever triton can be imported
            os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")
        from sparsify import SparseCoder, SparseCoderConfig

        torch.manual_seed(seed)
        sae = SparseCoder(size.d_in, SparseCoderConfig(num_latents=size.d_sae, k=size.k), device, torch.float32)
        optimizer, scheduler = _optimizer(sae, setting)
        since_fired = torch.zeros(sae.num_latents, device=device, dtype=torch.long)
        did_fire = torch.zeros(sae.num_latents, device=device, dtype=torch.bool)
        first = True

        def step(x_BD: Tensor) -> None:
            nonlocal first
            if first:
                sae.b_dec.data = x_BD.mean(0)
                first = False
            with _tf32():
                _gradients(sae, x_BD, did_fire)
                optimizer.step()
                optimizer.zero_grad()
                if scheduler is not None:
                    scheduler.step()
            _count(since_fired, did_fire, len(x_BD))

        return step


def _gradients(sae: Any, x_BD: Tensor, did_fire: Tensor) -> None:
    sae.set_decoder_norm_to_unit_norm()
    total_variance = (x_BD - x_BD.mean(0)).pow(2).sum()
    out = sae(x=x_BD, y=x_BD, dead_mask=None, total_variance=total_variance)
    did_fire[out.latent_indices.flatten()] = True
    float(out.fvu.detach())
    (out.fvu + 0.0 * out.auxk_loss + out.multi_topk_fvu / 8).backward()
    sae.remove_gradient_parallel_to_decoder_directions()


@torch.no_grad()
def _count(since_fired: Tensor, did_fire: Tensor, rows: int) -> None:
    since_fired += rows
    since_fired[did_fire] = 0
    did_fire.zero_()


def _optimizer(sae: Any, setting: str) -> tuple[Any, Any]:
    """The optimiser of `Trainer.__init__`, and its schedule if it has one."""
    from schedulefree import ScheduleFreeWrapper
    from sparsify.sign_sgd import SignSGD
    from transformers import get_linear_schedule_with_warmup

    scale = (sae.num_latents / 2**14) ** 0.5
    if setting == "adam":
        adam = torch.optim.Adam(sae.parameters(), lr=2e-4 / scale)
        return adam, get_linear_schedule_with_warmup(adam, WARM_UP, STEPS)
    signum = ScheduleFreeWrapper(SignSGD(sae.parameters(), lr=5e-3 / scale), momentum=0.95)
    signum.train()
    return signum, None


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
