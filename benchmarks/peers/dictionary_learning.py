"""dictionary_learning (package `dictionary-learning`; read in 0.1.0): `TopKTrainer.update`, as `trainSAE` calls it.

One step: forward pass, counts of rows since a latent fired, AuxK when latents are dead, backward pass, projection of
the decoder's gradient, gradient clipping at 1, Adam, schedule, unit decoder norms, and the loss read out. Defaults: lr
2e-4 / sqrt(d_sae / 2^14) with 1,000 steps of warm-up, AuxK coefficient 1/32 and d_in / 2 latents; a latent is dead
after 10,000,000 rows, which no run here reaches. The first step, which finds a median of the batch, is a warm-up step.
From its step 1,001 on the tool also keeps a running threshold: left out here, in its favour.

On the CPU `trainSAE` never uses autocast. On a GPU its `autocast_dtype` is float32 by default, and its documentation
recommends bfloat16: both are tried.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from benchmarks.peers.peer import Step, why_not
from benchmarks.sizes import Size

STEPS = 100_000


class DictionaryLearning:
    """Peer `dictionary_learning`."""

    name = "dictionary_learning"

    def available(self) -> str:
        """Whether dictionary_learning can be imported."""
        return why_not("dictionary_learning.trainers.top_k", "make peers")

    def settings(self, device: str) -> tuple[str, ...]:
        """float32, and on a GPU autocast in bfloat16 too."""
        return ("float32", "autocast bf16") if device == "cuda" else ("float32",)

    def make(self, size: Size, seed: int, device: str, setting: str) -> Step:
        """See the module."""
        from dictionary_learning.trainers.top_k import TopKTrainer

        trainer = TopKTrainer(
            steps=STEPS,
            activation_dim=size.d_in,
            dict_size=size.d_sae,
            k=size.k,
            layer=0,
            lm_name="none",
            seed=seed,
            device=device,
        )
        bf16 = setting == "autocast bf16"
        context = torch.autocast(device_type=device, dtype=torch.bfloat16) if bf16 else nullcontext()
        done = 0

        def step(x_BD: Tensor) -> None:
            nonlocal done
            with context:
                trainer.update(done, x_BD.to(torch.bfloat16 if bf16 else torch.float32))
            done += 1

        return step
