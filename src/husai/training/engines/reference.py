"""The readable truth: plain autograd in float32, one seed after the other.

Seeds are computed apart on purpose: the gradient of a batched product over seeds is not bit-equal to that of one seed
alone (measured on CPU), and a stack must give each seed exactly what it would get alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adam import adam

from husai.activations.supply import LabelsAt
from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.codes import Codes
from husai.saes.config import AnySAEConfig
from husai.saes.objective import loss_terms
from husai.saes.parameters import Parameters, across
from husai.saes.registry import architecture
from husai.training.config import TrainingConfig
from husai.training.coupling.coupling import Coupling
from husai.training.dead import dead_mask, update_
from husai.training.engines.engine import SeedTerms
from husai.training.freezing import drop_frozen_, hold_near_start_
from husai.training.state import TrainState


class ReferenceEngine:
    """Engine `reference`: supports every architecture and every coupling."""

    name = "reference"
    how = "autograd"

    def __init__(
        self,
        config: AnySAEConfig,
        training: TrainingConfig,
        coupling: Coupling | None = None,
        labels_at: LabelsAt | None = None,
    ) -> None:
        self.config, self.training, self.coupling, self.labels_at = config, training, coupling, labels_at
        self.arch = architecture(config)
        if coupling is not None and (not self.arch.trained or "W_dec" in self.arch.buffers):
            raise UserError(f"{config.kind} has no W_dec that {coupling.name} could move: train it without a coupling")

    def refuses(self, config: AnySAEConfig, coupled: bool) -> str:
        """Nothing is refused."""
        return ""

    def sync(self, state: TrainState) -> None:
        """Nothing to do: steps work on the tensors of the state."""

    def step(self, state: TrainState, x_SBD: Tensor, lr: float) -> SeedTerms:
        """Gradients by autograd, dense Adam, then what the architecture does after a step.

        A baseline that is not trained is only measured.
        """
        if not self.arch.trained:
            return self._measured(state, x_SBD)
        terms, grads, codes = [], [], []
        labels_SB = None if self.labels_at is None else self.labels_at(state.step)
        for seed in range(state.seeds):
            labels_B = None if labels_SB is None else labels_SB[seed]
            seed_terms, seed_grads, seed_codes = self._gradients(state, seed, x_SBD[seed].clone(), labels_B)
            terms.append(seed_terms)
            grads.append(seed_grads)
            codes.append(seed_codes)
        if self.coupling is not None:
            self._pull(state, terms, grads)
        for seed, seed_grads in enumerate(grads):
            drop_frozen_(self.config.freeze, self.arch.buffers, seed_grads)
            if self.coupling is not None:
                self.coupling.drop_(seed, seed_grads)
            if self.config.decoder_norm == "projected":
                seed_grads["W_dec"] = across(seed_grads["W_dec"], state.parameters["W_dec"][seed])
        self._update(state, grads, lr)
        for seed, seed_codes in enumerate(codes):
            self._follow(state, seed, seed_codes)
        state.step += 1
        return terms

    def _gradients(
        self, state: TrainState, seed: int, x_BD: Tensor, labels_B: Tensor | None
    ) -> tuple[dict[str, Tensor], Parameters, Codes]:
        # Copies start on a 64-byte boundary, views of a stack need not, and the matrix library rounds by alignment.
        p = {name: tensor[seed].detach().clone().requires_grad_() for name, tensor in state.parameters.items()}
        rows = state.step * x_BD.shape[0]
        dead = dead_mask(state.last_fired_SF[seed], rows, self.config.dead_after)
        batch = Batch(*self.arch.split(self.config, x_BD), dead, labels_B)
        terms, codes = loss_terms(self.arch, self.config, p, batch)
        total = torch.stack(list(terms.values())).sum()
        grads = torch.autograd.grad(total, list(p.values()), materialize_grads=True)
        update_(state.last_fired_SF[seed], codes.fired(), rows + x_BD.shape[0])
        return {name: term.detach() for name, term in terms.items()}, dict(zip(p, grads, strict=True)), codes

    @torch.no_grad()
    def _measured(self, state: TrainState, x_SBD: Tensor) -> SeedTerms:
        state.step += 1
        terms = []
        for seed, x_BD in enumerate(x_SBD):
            p = {name: tensor[seed] for name, tensor in state.parameters.items()}
            batch = Batch(*self.arch.split(self.config, x_BD), torch.zeros(self.config.d_sae) > 0)
            found, codes = self.arch.objective(self.config, p, batch)
            update_(state.last_fired_SF[seed], codes.fired(), state.step * len(x_BD))
            terms.append(found)
        return terms

    def _pull(self, state: TrainState, terms: SeedTerms, grads: list[Parameters]) -> None:
        assert self.coupling is not None
        pulled, gradient_SFO = self.coupling.pull(state.step, state.parameters["W_dec"], state.held)
        for seed, (extra, seed_grads) in enumerate(zip(pulled, grads, strict=True)):
            terms[seed] |= extra
            if gradient_SFO is not None:
                seed_grads["W_dec"] = seed_grads["W_dec"] + gradient_SFO[seed]

    @torch.no_grad()
    def _update(self, state: TrainState, grads: list[Parameters], lr: float) -> None:
        # The fused Adam reads memory in order: a transposed gradient would be applied to the wrong weights.
        slots = [(name, seed) for seed in range(state.seeds) for name in state.parameters]
        adam(
            [state.parameters[name][seed] for name, seed in slots],
            [grads[seed][name].contiguous() for name, seed in slots],
            [state.m[name][seed] for name, seed in slots],
            [state.v[name][seed] for name, seed in slots],
            [],
            [torch.tensor(float(state.step)) for _ in slots],
            fused=True,
            amsgrad=False,
            beta1=self.training.beta1,
            beta2=self.training.beta2,
            lr=lr,
            weight_decay=0.0,
            eps=self.training.eps,
            maximize=False,
        )

    @torch.no_grad()
    def _follow(self, state: TrainState, seed: int, codes: Codes) -> None:
        parameters = {name: t[seed] for name, t in state.parameters.items()}
        if self.config.freeze == "decoder":  # normalising a frozen row would still change its last bits
            parameters["W_dec"] = parameters["W_dec"].clone()
        self.arch.after_step_(self.config, parameters, codes)
        if self.config.freeze == "soft_decoder":
            hold_near_start_(state.parameters["W_dec"][seed], torch.from_numpy(state.snapshots[0][seed]))
        if self.coupling is not None:
            self.coupling.hold_(seed, {name: t[seed] for name, t in state.parameters.items()})
