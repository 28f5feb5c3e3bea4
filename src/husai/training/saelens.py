"""Training by SAELens: its TrainingSAE, its optimiser and its step, on the rows that husai's own training would get.

Given by the study: rows and their order, steps, batch, rate, betas, the share of steps over which the rate falls to
zero, sizes, k or l1, whether b_dec is taken off the input, after how many rows a latent is dead, and the seed, which
has a stream of its own.

SAELens' own: the initialisation (decoder rows of norm 0.1 in directions drawn from a cube, encoder their transpose),
decoder rows of any norm (codes of TopK are selected and decoded as if they were of unit norm, L1 is weighted by them),
Adam with eps = 1e-8, gradients clipped at norm 1, and AuxK: up to d_in / 2 dead latents predict the residual, its mean
square with weight 1, less while few are dead. `own_ways` says what of it differs from what was declared.

One step is the body of `SAETrainer.fit` without its progress bar. Nothing of SAELens is imported before it trains.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from husai.activations.supply import Spent, Supply
from husai.errors import Refused, UserError
from husai.events import check_stop
from husai.saes.config import AnySAEConfig, ReluL1Config, TopKConfig
from husai.saes.formats import saelens
from husai.saes.formats.plain import Plain
from husai.saes.parameters import CORE, Parameters, pre_activations
from husai.saes.sae import SAE
from husai.seeds import Role, derive
from husai.training.config import TrainingConfig
from husai.training.schedules import is_snapshot, trunk_end
from husai.training.trainer import LOG_EVERY, Job

EPS, CLIP = 1e-8, 1.0  # its Adam's, and the norm at which it clips gradients; it takes neither from a config
BOUND = 1e-4  # of two float32 outputs of one function, relative to the largest
TERMS = {"mse_loss": "mse", "auxiliary_reconstruction_loss": "aux", "l1_loss": "l1"}  # husai's names for its losses


@dataclass
class Followed:
    """One seed: parameters before the first step and after the last; W_dec [F, D] and loss terms on the way.

    `sae` and `trainer` are SAELens' configs as they were used.
    """

    start: Parameters
    parameters: Parameters = field(default_factory=dict)
    snapshots: dict[int, np.ndarray] = field(default_factory=dict)
    history: dict[str, dict[int, float]] = field(default_factory=dict)
    sae: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)


def own_ways(config: AnySAEConfig, training: TrainingConfig) -> list[str]:
    """What was declared and SAELens does otherwise, in words."""
    found = [f"SAELens clips gradients at norm {CLIP:g}"]
    if training.eps != EPS:
        found.append(f"SAELens' Adam has eps = {EPS:g}, where the others have {training.eps:g}")
    if isinstance(config, TopKConfig) and config.aux_k:
        found.append(
            f"AuxK is SAELens' own: up to d_in / 2 dead latents instead of {config.aux_k}, their mean squared error "
            "with weight 1"
        )
    return found


def follow(job: Job, x_ND: Tensor, spent: Spent, progress: Callable[[int], None]) -> Followed:
    """Train the one seed of `job`; `x_ND` are scaled rows on which the SAE that is kept is held against SAELens' own.

    Torch's own stream is afterwards as it was before.

    Raises:
        UserError: the loss is not finite.
        Refused: the two differ.
        Interrupted: a stop was asked for. SAELens' trainer keeps its state by pickling, so that none is kept.
    """
    config, training, (seed,) = job.config, job.training, job.seeds
    with torch.random.fork_rng(devices=[]):
        index = (seed,) if Role.SAE_INIT in training.vary else ()
        torch.manual_seed(derive(job.root, Role.SAE_INIT, "saelens", *index))
        trainer = trainer_of(config, training, job.d_in)
        found = Followed(converted(config, trainer.sae))
        with Supply(job.batch_at, 0, training.steps, job.ahead, spent) as batches:
            for step in range(training.steps):
                check_stop()
                if is_snapshot(step):
                    found.snapshots[step] = trainer.sae.W_dec.detach().numpy().copy()
                trained = one_step(trainer, batches.take()[0])
                if step % LOG_EVERY == 0 or step + 1 == training.steps:
                    _log(found, step + 1, trained.losses, training)
                    progress(step + 1)
    found.parameters = converted(config, trainer.sae)
    check_same(config, found.parameters, trainer.sae, x_ND)
    found.sae, found.trainer = _plain(vars(trainer.sae.cfg)), _plain(vars(trainer.cfg))
    return found


def one_step(trainer: Any, x_BD: Tensor) -> Any:
    """SAELens' step, as its `fit` takes it; returns its outputs and losses."""
    trainer.maybe_reset_sparsity()
    trained = trainer.step(x_BD)
    trainer.n_training_steps += 1
    return trained


def trainer_of(config: AnySAEConfig, training: TrainingConfig, d_in: int) -> Any:
    """SAELens' trainer with a fresh SAE, from torch's own stream. It never looks for rows by itself."""
    trainer, configs = import_module("sae_lens.training.sae_trainer"), import_module("sae_lens.config")
    steps, batch = training.steps, training.batch
    asked = configs.SAETrainerConfig(
        total_training_samples=steps * batch,
        train_batch_size_samples=batch,
        device="cpu",
        lr=training.lr,
        lr_end=training.lr,  # of the schedule before the decay; its runner sets a tenth, which "constant" ignores
        lr_scheduler_name="constant",
        lr_decay_steps=steps - trunk_end(training, steps),
        adam_beta1=training.beta1,
        adam_beta2=training.beta2,
        dead_feature_window=math.ceil(config.dead_after / batch) - 1,  # dead beyond so many steps without firing
    )
    return trainer.SAETrainer(cfg=asked, sae=_fresh(config, d_in), data_provider=iter(()))


def _fresh(config: AnySAEConfig, d_in: int) -> Any:
    common = {"d_in": d_in, "d_sae": config.d_sae, "apply_b_dec_to_input": config.subtract_b_dec, "device": "cpu"}
    if isinstance(config, TopKConfig):
        lens = import_module("sae_lens.saes.topk_sae")
        more = {"k": config.k, "rescale_acts_by_decoder_norm": config.decoder_norm == "unit"}
        aux = {} if config.aux_k else {"aux_loss_coefficient": 0.0}
        return lens.TopKTrainingSAE(lens.TopKTrainingSAEConfig(**common, **more, **aux))
    assert isinstance(config, ReluL1Config)
    lens = import_module("sae_lens.saes.standard_sae")
    return lens.StandardTrainingSAE(lens.StandardTrainingSAEConfig(**common, l1_coefficient=config.l1))


def _log(found: Followed, step: int, losses: dict[str, Any], training: TrainingConfig) -> None:
    for name, loss in losses.items():
        value = torch.as_tensor(loss).item()
        if not math.isfinite(value):
            raise UserError(
                f"SAELens: the loss is not finite at step {step}; lower the learning rate "
                f"(training.lr={training.lr / 10:g})"
            )
        found.history.setdefault(TERMS.get(name, name), {})[step] = value


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The numbers and words of a config; where it was made and what it logs to are no part of it."""
    return {k: v for k, v in sorted(values.items()) if v is None or isinstance(v, bool | int | float | str)}


@torch.no_grad()
def converted(config: AnySAEConfig, theirs: Any) -> Parameters:
    """The parameters of husai's SAE that is the same function as SAELens'; unit decoder rows where they were declared.

    They go through SAELens' own folder and the reader that husai has for it.
    """
    with tempfile.TemporaryDirectory(prefix="husai-saelens-") as folder:
        theirs.save_model(folder)
        p = saelens.read(Path(folder)).parameters
    if config.kind == "relu_l1" and config.decoder_norm == "unit":
        p = Plain("relu", p, config.subtract_b_dec).unscaled().p
    return {name: p[name].contiguous() for name in CORE}


@torch.no_grad()
def check_same(config: AnySAEConfig, p: Parameters, theirs: Any, x_BD: Tensor) -> None:
    """Whether the converted SAE gives what SAELens' own gives for scaled rows.

    Rows in which the k-th latent and the next are as good as tied may differ: float32 decides there which one is kept.

    Raises:
        Refused: it does not.
    """
    ours = SAE(config, p, torch.zeros(x_BD.shape[1]), 1.0)
    y_BD = theirs(x_BD)
    bound = BOUND * max(1.0, float(y_BD.abs().max()))
    off_B = ~((ours(x_BD) - y_BD).abs().amax(-1) <= bound)
    if bool((off_B & ~_tied(config, p, x_BD, bound)).any()):
        raise Refused(
            f"SAELens' {config.kind} and the SAE that husai reads from it differ on {int(off_B.sum())} of {len(x_BD)} "
            "rows: this version of sae_lens computes something else, install one that was tried (docs/guide.md)"
        )


def _tied(config: AnySAEConfig, p: Parameters, x_BD: Tensor, bound: float) -> Tensor:
    if not isinstance(config, TopKConfig) or config.k >= config.d_sae:
        return torch.zeros(len(x_BD), dtype=torch.bool)
    ordered = pre_activations(p, x_BD, config.subtract_b_dec).relu().topk(config.k + 1, dim=-1).values
    return (ordered[:, -2] - ordered[:, -1]) <= bound
