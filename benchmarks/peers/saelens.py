"""SAELens (package `sae-lens`; read in 6.54.12): `SAETrainer` on a `TopKTrainingSAE`.

One step is the body of `SAETrainer.fit` without its progress bar: reset of the sparsity window when due, `step` (input
scaling, forward pass, counts of firing, backward pass, gradient clipping at 1, Adam, schedulers), checkpoint when due.
Defaults: lr 3e-4 constant, no normalisation of activations, decoder not held at unit norm (its norms rescale the codes
instead), AuxK loss on with coefficient 1 and d_in / 2 latents; a latent is dead after 1,000 steps without firing, which
no run here reaches, so that its AuxK term is never computed. No logging.

`use_sparse_activations` (off by default) is said to help in float32 with small k, so it is tried on the CPU. With torch
2.13 its backward pass works only without `rescale_acts_by_decoder_norm` (on by default), so that is tried too: codes
are then not rescaled, and no norm is taken. On a GPU: its `autocast` in bfloat16 (off by default, the usual setting
there), with dense codes, as its documentation says.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers.peer import Step, why_not
from benchmarks.sizes import Size

STEPS = 100_000
SPARSE, NOT_RESCALED = "use_sparse_activations", "rescale_acts_by_decoder_norm=False"


class SAELens:
    """Peer `saelens`."""

    name = "saelens"

    def available(self) -> str:
        """Whether SAELens can be imported."""
        return why_not("sae_lens", "make peers")

    def settings(self, device: str) -> tuple[str, ...]:
        """Dense codes (default), sparse ones, sparse ones that are not rescaled."""
        return ("autocast bf16",) if device == "cuda" else ("default", SPARSE, f"{SPARSE}, {NOT_RESCALED}")

    def make(self, size: Size, seed: int, device: str, setting: str) -> Step:
        """See the module."""
        from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        torch.manual_seed(seed)
        architecture = TopKTrainingSAEConfig(
            d_in=size.d_in,
            d_sae=size.d_sae,
            k=size.k,
            device=device,
            use_sparse_activations=SPARSE in setting,
            rescale_acts_by_decoder_norm=NOT_RESCALED not in setting,
        )
        sae = TopKTrainingSAE(architecture)
        config = SAETrainerConfig(
            total_training_samples=STEPS * size.batch,
            train_batch_size_samples=size.batch,
            device=device,
            lr_end=3e-5,  # a tenth of the rate, as its runner sets it; without effect on a constant schedule
            autocast=device == "cuda",
        )
        trainer = SAETrainer(cfg=config, sae=sae, data_provider=iter(()))

        def step(x_BD: Tensor) -> None:
            trainer.maybe_reset_sparsity()
            trainer.step(x_BD)
            trainer._checkpoint_if_needed()
            trainer.n_training_steps += 1

        return step
