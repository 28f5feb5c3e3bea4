"""One optimisation step of one TopK seed on the device, without a look at any of its numbers from outside."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from husai.saes.config import TopKConfig
from husai.training.engines.cuda_paths import Path, decode_group, sum_gradients
from husai.training.engines.cuda_state import SeedTensors
from husai.training.engines.cuda_work import Group, Workspace
from husai.training.engines.engine import ABSENT
from husai.training.engines.triton_kernels.adam import update_b_dec
from husai.training.engines.triton_kernels.latents import bias_gradients, update_b_enc, update_matrix
from husai.training.engines.triton_kernels.rows import encode_again, note_fired
from husai.training.engines.triton_kernels.screening import choose, screen
from husai.training.freezing import hold_near_start_

Precision = Literal["full", "recomputed", "rounded"]
Paths = dict[str, Path]  # of "decode" and "gradients", and the same of the dead latents with "aux " before


class Scalars:
    """What changes from step to step, on the device: `adam` as the kernels take it, and the rows seen before."""

    def __init__(self, beta1: float, beta2: float, eps: float, batch: int, dtype: torch.dtype, device: torch.device):
        self.betas, self.eps = (beta1, beta2), eps
        first = (-2 / batch, 0.0, 1 - beta1, beta2, 1 - beta2, eps, 1.0)
        self.adam = torch.tensor(first, dtype=dtype, device=device)
        self.rows = torch.zeros((), dtype=torch.int64, device=device)

    def set(self, step: int, lr: float, rows: int) -> None:
        """For the step after `step` steps and `rows` rows; three numbers travel as arguments, so nothing waits."""
        beta1, beta2 = self.betas
        self.adam[1].fill_(lr / (1 - beta1 ** (step + 1)))
        self.adam[6].fill_((1 - beta2 ** (step + 1)) ** 0.5)
        self.rows.fill_(rows)


def idle(like: Tensor) -> Tensor:
    """Adam's scalars under which weights and moments stay as they are."""
    return like.new_tensor((1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0))


class Step:
    """The step of a configuration in one workspace, for one seed after the other."""

    def __init__(self, config: TopKConfig, precision: Precision, work: Workspace, scalars: Scalars, paths: Paths):
        self.config, self.precision, self.work, self.scalars, self.paths = config, precision, work, scalars, paths

    def run(self, seed: SeedTensors, x_BD: Tensor, terms_2: Tensor, with_aux: bool) -> None:
        """Advance the seed; terms are `mse` and `aux`, ABSENT where no latent is dead or nobody asked."""
        b_dec, main = seed.parameters["b_dec"], self.work.main
        dead_F = self._dead(seed) if with_aux else None
        self._code(seed, x_BD, dead_F)
        decode_group(
            self.work, main, self.paths["decode"], x_BD, b_dec.weight, seed.decoder, self.work.one
        )  # fmt: skip
        terms_2[0].copy_(main.error_B.mean())
        if dead_F is not None:
            self._aux(seed, x_BD, dead_F, terms_2[1])
        note_fired(main.index_BK, seed.last_fired_F, self.scalars.rows)
        self._update(seed, with_aux)

    def _dead(self, seed: SeedTensors) -> Tensor:
        """[F] 1 for latents that count as dead, else 0."""
        return (self.scalars.rows - seed.last_fired_F >= self.config.dead_after).to(torch.int8)

    def _code(self, seed: SeedTensors, x_BD: Tensor, dead_F: Tensor | None) -> None:
        """Codes of all rows, tile by tile of their product with the encoder; the dead ones' from the same product."""
        work = self.work
        torch.sub(x_BD, seed.parameters["b_dec"].weight, out=work.x_BX[:, : work.d_in])
        for first in range(0, work.batch, work.tile):
            tile_TF = self._multiply(seed, first)
            screen(tile_TF, None, work.main.k, first, work.main.candidates)
            if dead_F is not None:
                screen(tile_TF, dead_F, work.aux.k, first, work.aux.candidates)
        for group in (work.main,) if dead_F is None else (work.main, work.aux):
            self._choose(seed, x_BD, group)

    def _multiply(self, seed: SeedTensors, first: int) -> Tensor:
        work, (W, *_), (b, *_) = self.work, seed.parameters["W_enc"], seed.parameters["b_enc"]
        rows_TX = work.x_BX[first : first + work.tile]
        tile_TF = work.product_TF[: len(rows_TX)]
        if seed.copy_enc is None:
            return torch.addmm(b, rows_TX[:, : work.d_in], W.T, out=tile_TF)
        return torch.mm(rows_TX, seed.copy_enc.T, out=tile_TF)

    def _choose(self, seed: SeedTensors, x_BD: Tensor, group: Group) -> None:
        choose(group.candidates, self.work.kept, self.config.d_sae, group.index_BK, group.value_BK)
        if self.precision == "recomputed":
            W, b, b_dec = (seed.parameters[name].weight for name in ("W_enc", "b_enc", "b_dec"))
            encode_again(x_BD, b_dec, W, b, group.index_BK, group.value_BK)

    def _aux(self, seed: SeedTensors, x_BD: Tensor, dead_F: Tensor, term: Tensor) -> None:
        """The best `aux_k` dead latents predict the residual, through which no gradient runs."""
        aux, residual_BO = self.work.aux, self.work.main.residual_BO
        spread, left = _variance(x_BD), _variance(residual_BO.to(self.work.sums))
        weight = self.config.aux_coefficient * spread / left.clamp_min(1e-12)
        decode_group(self.work, aux, self.paths["aux decode"], residual_BO, None, seed.decoder, weight)
        term.copy_((weight * aux.error_B.mean()).masked_fill(dead_F.sum() == 0, ABSENT))

    def _update(self, seed: SeedTensors, with_aux: bool) -> None:
        work, b_dec = self.work, seed.parameters["b_dec"]
        self.update_latents(seed, self._groups(with_aux), self.scalars.adam, self.config.decoder_norm == "unit")
        pull_D = work.pull_D
        update_b_dec(b_dec, work.main.residual_BO.sum(0, dtype=work.sums), pull_D, self.scalars.adam)
        if seed.start_FO is not None:
            hold_near_start_(seed.parameters["W_dec"].weight, seed.start_FO)
            seed.refresh_decoder()

    def _groups(self, with_aux: bool) -> list[tuple[Group, Path]]:
        groups: list[tuple[Group, Path]] = [(self.work.main, self.paths["gradients"])]
        return [*groups, (self.work.aux, self.paths["aux gradients"])] if with_aux else groups

    def update_latents(self, seed: SeedTensors, groups: list[tuple[Group, Path]], adam: Tensor, unit: bool) -> None:
        """Gradients of encoder and decoder, what passes on to b_dec (from weights not moved yet), and Adam."""
        work, p = self.work, seed.parameters
        gradients = sum_gradients(work, groups, decoder=self.config.freeze != "decoder")
        bias_gradients(gradients.encoder, work.d_in, work.bias_g_F)
        torch.mv(p["W_enc"].weight.T, work.bias_g_F, out=work.pull_D)
        if self.config.freeze != "encoder":
            update_matrix(gradients.encoder, p["W_enc"], seed.copy_enc, adam, unit=False)
            update_b_enc(p["b_enc"], work.bias_g_F, seed.copy_enc, work.d_in, adam)
        if gradients.decoder is not None:
            update_matrix(gradients.decoder, p["W_dec"], seed.copy_dec, adam, unit)


def _variance(x_BD: Tensor) -> Tensor:
    """Mean squared distance of rows from their mean."""
    return (x_BD - x_BD.mean(0)).square().sum(1).mean()
